"""The preview of the frame that a picture is extended to."""

import gradio as gr
import pytest
from PIL import Image

from presets.requests import Inpaint
from tabs import frame
from tabs.form import Form
from tests.fake_engine import FakeEngine

PICTURE = Image.new("RGB", (100, 50), "red")


def test_the_picture_stands_where_it_will_stand():
    drawn = frame.framed(PICTURE, (50, 0, 50, 50))
    assert "aspect-ratio:200/100" in drawn
    assert "left:25.00%;top:0.00%;width:50.00%;height:50.00%" in drawn
    assert "100 × 50 becomes 200 × 100" in drawn


@pytest.fixture
def draw(tmp_path, monkeypatch):
    """What follows a change of the fields."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    engine = FakeEngine(tmp_path / "pictures")
    form = Form(Inpaint, engine.inputs)
    with gr.Blocks() as blocks:
        for name in ("image", *(f"extend_{side}" for side in frame.SIDES)):
            form.widget(name)
        frame.build(engine, form)
    PICTURE.save(tmp_path / "photo.png")
    handler = next(iter(blocks.fns.values())).fn
    return lambda *added: handler({"path": str(tmp_path / "photo.png")}, *added)


def test_it_follows_the_fields(draw):
    assert "100 × 50 becomes 108 × 50" in draw(8, 0, 0, 0)


@pytest.mark.parametrize("added", [(0, 0, 0, 0), (None, 0, 0, 0), (-5, 0, 0, 0), (1.5, 0, 0, 0)])
def test_where_nothing_is_added_there_is_none(draw, added):
    assert draw(*added) == ""
