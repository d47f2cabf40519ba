import base64
import json
import re
from pathlib import Path

import gradio as gr
import pytest

from presets.errors import InvalidField
from presets.library import Library
from presets.requests import ImageToImage, TextToImage
from presets.samplers import SAMPLERS
from tabs.command_line import parse_arguments, run_request
from tabs.form import Form
from tabs.own_presets import KEPT, Panel, to_keep
from tabs.preset_row import PresetRow, cards, filled
from tests.fake_engine import FakeEngine

KIND = "text-to-image"


@pytest.fixture
def engine(tmp_path: Path) -> FakeEngine:
    return FakeEngine(tmp_path / "pictures")


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path / "presets")


@pytest.fixture
def form() -> Form[TextToImage]:
    with gr.Blocks():
        form = Form(TextToImage)
        for name in ("prompt", "steps", "width", "sampler", "seed"):
            form.widget(name)
    return form


@pytest.fixture
def panel(library: Library, form: Form) -> Panel:
    with gr.Blocks():
        return Panel(PresetRow(library, TextToImage), form)


def changes(form: Form, updates: list) -> dict[str, object]:
    """The fields that are changed, of updates in the order of the form's inputs."""
    return {name: value for name, value in zip(form.widgets, updates, strict=True) if value != gr.skip()}


def test_a_click_fills_the_fields_that_the_preset_has_and_no_others(engine, library, form):
    library.save(KIND, "Mine", {"steps": 8, "width": None})
    note, *updates = filled(engine, library, form, "mine")
    assert "Mine" in note
    assert changes(form, updates) == {"steps": 8, "width": None}


def test_what_a_preset_needs_and_is_missing_is_told_and_the_rest_is_filled(engine, library, form):
    library.save(KIND, "Mine", {"steps": 8, "checkpoint": "storyboek", "prompt": "a cat <lora:gone:1>"})
    note, *updates = filled(engine, library, form, "mine")
    assert "&#x27;storyboek&#x27; is not here. The nearest is &#x27;Storybook&#x27;" in note
    assert "LoRA" in note
    assert changes(form, updates) == {"steps": 8, "prompt": "a cat"}


def test_a_preset_that_is_gone_is_told_and_changes_nothing(engine, library, form):
    note, *updates = filled(engine, library, form, "../secret")
    assert "E-PRESET-UNKNOWN" in note
    assert changes(form, updates) == {}


def test_cards_show_titles_and_help_literally(library):
    library.save(KIND, '<b>&"x"</b>', {}, help="<script>")
    shown = cards(library.presets(KIND))
    assert "<script>" not in shown and "<b>" not in shown
    assert "data:image/webp;base64," in shown


def test_the_form_is_kept_but_for_what_is_left_out(form):
    values = ["a cat", 9, "512", SAMPLERS[0], 7]
    everything = {"prompt": "a cat", "steps": 9, "width": 512, "sampler": SAMPLERS[0], "seed": 7}
    assert to_keep(form, list(KEPT), values) == everything
    assert to_keep(form, ["Prompts"], values) == {"prompt": "a cat", "steps": 9, "sampler": SAMPLERS[0]}


def test_an_empty_size_is_kept_as_empty(form, library):
    values = ["a cat", 9, "", SAMPLERS[0], 7]
    preset = library.save(KIND, "Mine", to_keep(form, ["Size"], values))
    assert preset.values == {"width": None, "steps": 9, "sampler": SAMPLERS[0]}


def test_a_form_that_cannot_be_sent_cannot_be_saved(form):
    with pytest.raises(InvalidField, match="Steps"):
        to_keep(form, list(KEPT), ["a cat", 0, "", SAMPLERS[0], 7])


def test_a_kind_that_needs_a_picture_is_saved_without_one():
    with gr.Blocks():
        form = Form(ImageToImage)
        form.widget("image")
        form.widget("strength")
    assert to_keep(form, [], [None, 0.5]) == {"strength": 0.5}


def test_saving_renaming_exporting_and_deleting_follow_each_other(panel, library):
    values = ["a cat", 9, "", SAMPLERS[0], 7]
    shown, note, chosen, link = panel._save("Mine", ["Prompts"], False, *values)
    assert "Mine" in shown and "Saved as Mine" in note and chosen["value"] == "mine"
    _, note, _, link = panel._rename("mine", "Yours")
    assert "Yours" in note
    content = re.search(r"base64,([^\"]+)", link)
    assert content and b'title = "Yours"' in base64.b64decode(content[1])
    shown, note, *_ = panel._delete("mine")
    assert "Yours" not in shown and "Deleted Yours" in note
    assert not any(preset.is_own for preset in library.presets(KIND))


@pytest.mark.parametrize("name", ["", None, "01-house", "../x"])
def test_what_cannot_be_renamed_or_deleted_is_told_in_a_sentence(panel, name):
    for told in (panel._rename(name, "Other"), panel._delete(name)):
        assert "E-PRESET" in told[1]
        assert told[0] == gr.skip()


def test_a_file_of_another_kind_is_imported_for_its_own_tab(panel, library, tmp_path):
    (tmp_path / "given.toml").write_text('kind = "image-to-image"\ntitle = "Given"\n[settings]\nstrength = 0.5\n')
    assert "Image to image" in panel._import(str(tmp_path / "given.toml"))[1]
    assert library.find("image-to-image", "Given").values == {"strength": 0.5}


def run(engine: FakeEngine, folder: Path, *more: str) -> int:
    return run_request(engine, parse_arguments([KIND, "--json", *more]), folder)


def test_on_the_command_line_what_is_given_is_laid_over_the_preset(engine, library, tmp_path, capsys):
    library.save(KIND, "Mine", {"prompt": "a cat", "steps": 2, "seed": 7, "checkpoint": "gone"})
    assert run(engine, tmp_path / "presets", "--preset", "Mine", "--seed", "8") == 0
    printed = capsys.readouterr()
    request = json.loads(printed.out)["request"]
    assert (request["prompt"], request["steps"], request["seed"]) == ("a cat", 2, 8)
    assert "warning: The checkpoint 'gone' is not here." in printed.err


def test_on_the_command_line_an_unknown_preset_is_refused_with_the_nearest(engine, tmp_path, capsys):
    assert run(engine, tmp_path, "--preset", "House by the see") == 2
    assert "Did you mean 'House by the sea'? [E-PRESET-UNKNOWN]" in capsys.readouterr().err


def test_a_job_is_given_the_words_of_its_styles_and_so_its_settings_are_honest(engine, tmp_path, capsys):
    assert run(engine, tmp_path, "--prompt", "a cat", "--steps", "1", "--styles", "at night") == 0
    request = json.loads(capsys.readouterr().out)["pictures"][0]["request"]
    assert (request["prompt"], request["styles"]) == ("a cat at night with stars", [])
