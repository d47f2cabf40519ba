from pathlib import Path

import pytest

from pipelines.engine.jobs import ModelInfo
from presets.fields import SIDE_STEP
from presets.requests import TextToImage
from presets.samplers import SCHEDULES_OF
from tabs.page import build_page
from tabs.text_to_image import note_of, problem_lines, schedules_for, side_lengths, token_line
from tests.fake_engine import FakeEngine

MODELS = (ModelInfo(name="Small", family="sd1", native_size=(128, 128), size_bytes=1, note="The <small> one."),)


def test_every_field_with_a_label_has_a_widget_on_the_page(tmp_path: Path):
    page = build_page(FakeEngine(tmp_path))
    identifiers = {getattr(block, "elem_id", None) for block in page.blocks.values()}
    fields = [name for name in TextToImage.model_fields if name != "kind"]
    missing = [name for name in fields if f"text-to-image-{name.replace('_', '-')}" not in identifiers]
    assert missing == []


def test_each_checkpoint_is_offered_with_its_badge_and_stands_for_its_plain_name(tmp_path: Path):
    engine = FakeEngine(tmp_path)
    engine.load("Storybook")
    shown = {getattr(block, "elem_id", None): block for block in build_page(engine).blocks.values()}
    (choice,) = shown["text-to-image-checkpoint"].choices
    assert choice == ("Storybook\u2002· RAM · sd1 · 40 MB · switch 0.5 s", "Storybook")
    assert shown["text-to-image-checkpoint"].value == "Storybook"


def test_the_checkpoint_that_is_chosen_is_read_ahead(tmp_path: Path):
    engine = FakeEngine(tmp_path)
    page = build_page(engine)
    box = next(block for block in page.blocks.values() if getattr(block, "elem_id", None) == "text-to-image-checkpoint")
    changes = [function for function in page.fns.values() if (box._id, "change") in function.targets]
    for function in changes:
        if function.inputs == [box]:
            function.fn("Storybook")
    assert engine.read == ["Storybook"]


def test_files_that_cannot_be_used_are_told_under_the_checkpoints(tmp_path: Path):
    engine = FakeEngine(tmp_path)
    engine.unusable = ("'<b>.ckpt' was not opened: it may run code.",)
    shown = {getattr(block, "elem_id", None): block for block in build_page(engine).blocks.values()}
    assert "Not listed: &#x27;&lt;b&gt;.ckpt&#x27; was not opened" in shown["checkpoint-problems"].value


def test_a_folder_full_of_unusable_files_is_told_in_a_few_lines():
    assert problem_lines([]) == ""
    lines = problem_lines([f"file {number}" for number in range(100)])
    assert (lines.count("<p>"), "and 97 more" in lines) == (4, True)


def test_only_schedules_that_go_with_the_sampler_are_offered():
    update = schedules_for("LCM", "karras")
    assert (update["choices"], update["value"]) == (["automatic"], "automatic")
    assert schedules_for("Euler", "karras")["value"] == "karras"
    assert schedules_for("Euler", "karras")["choices"] == list(SCHEDULES_OF["Euler"])


@pytest.mark.parametrize("ratio", [2 / 3, 3 / 2])
def test_quick_sizes_keep_the_area_and_the_grid(ratio: float):
    width, height = side_lengths(MODELS, "Small", ratio)
    assert width % SIDE_STEP == height % SIDE_STEP == 0
    assert width * height == pytest.approx(128 * 128, rel=0.1)
    assert width / height == pytest.approx(ratio, rel=0.1)


def test_tokens_are_counted_in_whole_parts(tmp_path: Path):
    engine = FakeEngine(tmp_path)
    assert "2 of 75 tokens" in token_line(engine, "", "red house")
    assert "80 of 150 tokens, read in 2 parts" in token_line(engine, "", "word " * 80)


def test_the_note_of_a_checkpoint_is_shown_literally():
    assert "The &lt;small&gt; one. Native size 128 × 128." in note_of(MODELS, "Small")
    assert note_of(MODELS, "owner/name") == ""
