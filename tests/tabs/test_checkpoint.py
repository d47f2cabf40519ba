from pathlib import Path

from pipelines.engine.jobs import ModelInfo
from tabs.checkpoint import note_of, problem_lines
from tabs.page import build_page
from tests.fake_engine import FakeEngine

MODELS = (ModelInfo(name="Small", family="sd1", native_size=(128, 128), size_bytes=1, note="The <small> one."),)


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
    problems = shown["text-to-image-checkpoint-problems"].value
    assert "Not listed: &#x27;&lt;b&gt;.ckpt&#x27; was not opened" in problems


def test_a_folder_full_of_unusable_files_is_told_in_a_few_lines():
    assert problem_lines([]) == ""
    lines = problem_lines([f"file {number}" for number in range(100)])
    assert (lines.count("<p>"), "and 97 more" in lines) == (4, True)


def test_the_note_of_a_checkpoint_is_shown_literally():
    assert "The &lt;small&gt; one. Native size 128 × 128." in note_of(MODELS, "Small")
    assert note_of(MODELS, "owner/name") == ""
