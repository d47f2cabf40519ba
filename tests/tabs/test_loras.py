from pathlib import Path

import gradio as gr
import pytest
from PIL import Image

from pipelines.engine.jobs import LoraInfo
from presets.drawing import LoraUse
from presets.errors import InvalidField
from presets.requests import TextToImage
from tabs import loras
from tabs.form import Form
from tests.fake_engine import FakeEngine

INK = LoraInfo(name="ink", family="Stable Diffusion 1.x", kind="LoRA", rank=16, trigger_words=("<b>ink</b>",))
USES = (LoraUse(name="ink", strength=0.5), LoraUse(name="wool", strength=-3, text_encoder_strength=0.25))


@pytest.fixture
def form(tmp_path: Path) -> Form[TextToImage]:
    engine = FakeEngine(tmp_path)
    engine.adapters = (INK, LoraInfo(name="torn", problem="The LoRA 'torn' cannot be used: it is empty."))
    form = Form(TextToImage)
    with gr.Blocks():
        form.widget("prompt")
        loras.build(engine, form)
    return form


def shown(values):
    """What the components hold after updates."""
    return [value.get("value") if isinstance(value, dict) else value for value in values]


def test_a_requests_loras_become_the_components_values_and_the_request_again(form):
    request = TextToImage(prompt="a boat", loras=USES)
    assert form.request(shown(form.values(request))) == request
    assert form.request(shown(form.values(TextToImage(prompt="a boat")))).loras == ()


def test_strengths_stay_with_their_names_when_one_is_taken_out_and_one_comes(form):
    _, _, _, *strengths = shown(form.values(TextToImage(prompt="", loras=USES)))
    request = form.request(["", ["new", "wool"], ("ink", "wool"), *strengths])
    assert request.loras == (LoraUse(name="new"), USES[1])


def test_only_the_strengths_of_chosen_loras_are_seen_and_reach_as_far_as_needed(form):
    _, _, _, first, second, third, *_ = form.values(TextToImage(prompt="", loras=USES))
    assert (first["visible"], second["visible"], third["visible"]) == (True, True, False)
    assert (first["label"], first["minimum"], second["minimum"]) == ("ink", -2, -3)


@pytest.mark.parametrize("text", ["much", "11", "nan"])
def test_a_wrong_strength_is_refused_beside_the_loras(form, text):
    values = shown(form.values(TextToImage(prompt="", loras=USES[:1])))
    values[-16] = text
    with pytest.raises(InvalidField) as caught:
        form.request(values)
    assert caught.value.field == "loras"
    verdicts = form.check(*values)
    assert [index for index, verdict in enumerate(verdicts) if not verdict["is_valid"]] == [1]
    assert len(verdicts) == len(form.inputs)


def test_only_usable_files_are_offered_and_the_others_told(form):
    box = form.groups["loras"].components[0]
    assert isinstance(box, gr.Dropdown) and [name for name, _ in box.choices] == ["ink"]
    assert "it is empty" in loras.problem_lines([LoraInfo(name="torn", problem="it is empty <b>")])


def test_what_a_file_tells_is_shown_literally():
    html = loras.details_of([INK], ["ink", "gone"])
    assert "&lt;b&gt;ink&lt;/b&gt;" in html and "LoRA, rank 16" in html and "<img" not in html


def test_the_preview_picture_is_shown_small_and_a_broken_one_is_left_out(tmp_path):
    Image.new("RGBA", (500, 300)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    for name, is_shown in (("a.png", True), ("b.png", False)):
        info = INK.model_copy(update={"preview": tmp_path / name})
        assert ("data:image/jpeg" in loras.details_of([info], ["ink"])) == is_shown
