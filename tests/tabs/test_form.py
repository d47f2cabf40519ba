import gradio as gr
import pytest

from presets.errors import InvalidField
from presets.requests import TextToImage
from presets.samplers import SAMPLERS
from tabs.form import Form


@pytest.fixture
def form() -> Form[TextToImage]:
    form = Form(TextToImage)
    with gr.Blocks():
        for name in ("prompt", "steps", "seed", "width", "sampler"):
            form.widget(name)
        form.widget("checkpoint", choices=["Storybook"], value="Storybook")
    return form


def test_bounds_label_help_and_default_come_from_the_field(form):
    steps = form.widgets["steps"]
    assert isinstance(steps, gr.Slider)
    assert (steps.minimum, steps.maximum, steps.value, steps.label) == (1, 150, 20, "Steps")
    assert steps.info == TextToImage.model_fields["steps"].description


def test_each_field_gets_the_widget_that_suits_it(form):
    kinds = {name: type(widget).__name__ for name, widget in form.widgets.items()}
    assert kinds == {
        "prompt": "Textbox",
        "steps": "Slider",
        "seed": "Number",
        "width": "Textbox",
        "sampler": "Dropdown",
        "checkpoint": "Dropdown",
    }


def test_choices_are_those_of_the_field_or_of_the_tab(form):
    assert [value for _, value in form.widgets["sampler"].choices] == list(SAMPLERS)
    assert form.widgets["checkpoint"].allow_custom_value


@pytest.mark.parametrize("text", ["Storybook", "Storybook\u2002· RAM · SD 1.x", "Storybook\u2002· R"])
def test_what_is_shown_of_a_choice_stands_for_its_value(form, text):
    assert form.request(["a boat", 30, 7, "512", "Euler", text]).checkpoint == "Storybook"


def test_values_become_the_request_and_the_request_becomes_the_values_again(form):
    request = form.request(["a boat", 30, 7, "512", "Euler", "Storybook"])
    assert (request.steps, request.width, request.sampler) == (30, 512, "Euler")
    assert form.values(request) == ["a boat", 30, 7, 512, "Euler", "Storybook"]


def test_an_empty_number_means_the_default(form):
    request = form.request(["a boat", 30, None, " ", "Euler", ""])
    assert (request.seed, request.width) == (-1, None)


@pytest.mark.parametrize(
    ("place", "value", "field", "code"),
    [
        (1, 20.5, "steps", "E-STEPS"),
        (2, 2**53, "seed", "E-SEED"),
        (3, "65", "width", "E-SIZE"),
        (3, "wide", "width", "E-SIZE"),
        (3, "-8", "width", "E-SIZE"),
        (3, "9" * 5000, "width", "E-SIZE"),
        (3, "٥١٢", "width", "E-SIZE"),
        (4, "Eula", "sampler", "E-SCHEDULER"),
    ],
)
def test_a_wrong_value_is_refused_with_the_name_of_its_field(form, place, value, field, code):
    values = ["a boat", 20, -1, "", "Euler", ""]
    values[place] = value
    with pytest.raises(InvalidField) as caught:
        form.request(values)
    assert (caught.value.field, caught.value.code) == (field, code)


def test_a_complaint_stands_beside_its_field_only(form):
    verdicts = form.check("a boat", 20, -1, "65", "Euler", "", "a value of another kind")
    assert [verdict["is_valid"] for verdict in verdicts] == [True, True, True, False, True, True, True]
    assert "the nearest is 64" in verdicts[3]["message"]
