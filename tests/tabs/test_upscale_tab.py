"""The tab Upscale: what it says of the size that comes of a picture."""

from pathlib import Path

import gradio as gr
import pytest
from PIL import Image

from tabs import upscale
from tests.fake_engine import FakeEngine


def size_told(folder: Path, picture: tuple[int, int], factor: float) -> str:
    """What the page says once a picture is chosen, of the values that it sends then."""
    Image.new("RGB", picture).save(folder / "photo.png")
    with gr.Blocks() as blocks:
        form = upscale.build(FakeEngine(folder / "engine")).form
    (event, *_) = [event for event in blocks.fns.values() if event.name == "sizes"]
    values = [getattr(widget, "value", None) for widget in event.inputs]
    values[event.inputs.index(form.widgets["image"])] = {"path": str(folder / "photo.png")}
    values[event.inputs.index(form.widgets["factor"])] = factor
    return event.fn(*values)


def test_the_size_that_comes_of_a_picture_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    assert size_told(tmp_path, (96, 64), 2) == "<p>96 × 64 becomes 192 × 128 pixels.</p>"


def test_a_size_that_is_too_large_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    assert "8 times as large the picture would have 12000 × 8000 pixels" in size_told(tmp_path, (1500, 1000), 8)
