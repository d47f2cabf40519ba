"""Preprocessors on the page: the parameters that each shows, and what it needs."""

from pathlib import Path

import gradio as gr
import pytest

from presets.preprocessors import PARAMETERS, PREPROCESSORS
from tabs import preprocessing
from tabs.control_picture import build
from tests.fake_engine import FakeEngine


class Page:
    """The tab, and what choosing a preprocessor changes."""

    def __init__(self, folder: Path):
        self.engine = FakeEngine(folder)
        with gr.Blocks() as blocks:
            self.form = build(self.engine).form
        handlers = {event.name: event.fn for event in blocks.fns.values()}
        self.choose = handlers["shown"]


@pytest.fixture
def page(tmp_path: Path) -> Page:
    return Page(tmp_path)


def test_every_preprocessor_is_offered_by_its_title(page: Page):
    offered = page.form.widgets["preprocessor"].choices
    assert offered == [(row.title, name) for name, row in PREPROCESSORS.items()]


def test_at_first_the_parameters_of_canny_are_seen_alone(page: Page):
    seen = [name for name in PARAMETERS if page.form.widgets[name].visible]
    assert seen == ["low_threshold", "high_threshold"]


@pytest.mark.parametrize("name", PREPROCESSORS)
def test_choosing_one_shows_its_parameters_alone(page: Page, name: str):
    _, *updates = page.choose(name)
    seen = [parameter for parameter, update in zip(PARAMETERS, updates, strict=True) if update["visible"]]
    assert seen == [parameter for parameter in PARAMETERS if parameter in PREPROCESSORS[name].parameters]


def test_the_note_tells_what_is_missing_and_from_where(page: Page):
    note = preprocessing.note_of(page.engine, "mlsd")
    assert "mlsd_large_512_fp32.pth in models/annotators" in note and "lllyasviel/Annotators" in note
    assert "needs" not in preprocessing.note_of(page.engine, "canny")
    assert preprocessing.note_of(page.engine, "<script>") == ""


def test_the_table_names_every_preprocessor_and_its_files(page: Page):
    table = preprocessing.table(page.engine)
    assert all(row.title in table for row in PREPROCESSORS.values())
    assert "Is not here: body_pose_model.pth and hand_pose_model.pth" in table
