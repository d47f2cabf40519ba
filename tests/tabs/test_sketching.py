"""What is painted on the picture in the page becomes a part of what is redrawn."""

import io
from pathlib import Path

import gradio as gr
import pytest
from gradio.components.image_editor import EditorDataBlobs
from PIL import Image

from presets.requests import ImageToImage
from tabs.sketching import SketchForm
from tests.fake_engine import FakeEngine

PICTURE = Image.new("RGB", (96, 64), "red")


class Page:
    """A form of a picture that can be painted on, and the handlers behind it."""

    def __init__(self, folder: Path):
        self.engine = FakeEngine(folder)
        self.form = SketchForm(ImageToImage, self.engine.inputs)
        with gr.Blocks() as blocks:
            self.form.widget("image")
            self.form.put_editor()
            self.form.put_files()
            self.form.widget("prompt")
        self.handlers = {event.name: event.fn for event in blocks.fns.values()}
        self.name = self.engine.inputs.keep(PICTURE).sha256

    def request(self, photo: dict | None, sketch: object, painted_on: str, files: object = None) -> ImageToImage:
        return self.form.request([photo, "a", files, sketch, painted_on])

    def pixels(self, request: ImageToImage) -> Image.Image:
        return self.engine.inputs.open(request.image)


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Page:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    return Page(tmp_path / "pictures")


@pytest.fixture
def photo(tmp_path: Path) -> dict[str, str]:
    PICTURE.save(tmp_path / "photo.png")
    return {"path": str(tmp_path / "photo.png")}


def paint(page: Page, box=(8, 8, 40, 40), colour=(0, 0, 255, 255), size=(96, 64)) -> dict[str, str]:
    """As a browser sends it."""
    layer = Image.new("RGBA", size, (0, 0, 0, 0))
    layer.paste(colour, box)
    buffer = io.BytesIO()
    layer.save(buffer, "PNG")
    page.form.editor.blob_storage["one"] = EditorDataBlobs(background=None, layers=[buffer.getvalue()], composite=None)
    return {"id": "one"}


def test_what_is_painted_lies_on_the_picture_and_the_rest_stays(page, photo):
    for _ in range(2):  # the check beside the field and the run read it, one after the other
        made = page.pixels(page.request(photo, paint(page), page.name))
    assert [made.getpixel(point) for point in ((20, 20), (60, 20))] == [(0, 0, 255), (255, 0, 0)]
    assert made.mode == "RGB" and made.size == PICTURE.size


def test_half_covering_paint_lets_the_picture_through_and_comes_to_its_size(page, photo):
    sketch = paint(page, (0, 0, 48, 32), (0, 0, 255, 128), (48, 32))
    made = page.pixels(page.request(photo, sketch, page.name))
    assert made.size == (96, 64) and made.getpixel((50, 30)) == (127, 0, 128)


@pytest.mark.parametrize("sketch", [None, {"id": "gone"}, {"layers": []}])
def test_without_paint_it_is_the_picture_that_was_given(page, photo, sketch):
    assert page.request(photo, sketch, page.name).image.sha256 == page.name


def test_paint_for_another_picture_is_not_used(page, photo):
    assert page.request(photo, paint(page), "0" * 64).image.sha256 == page.name


def test_of_several_pictures_none_is_painted_on(page, photo):
    assert page.request(None, paint(page), page.name, [photo]).image.size == (64, 64)


def test_the_open_editor_shows_another_picture_and_keeps_the_paint_on_the_same_one(page, photo):
    value, painted_on = page.handlers["_follow"](photo, "", True)
    assert painted_on == page.name and value["background"].size == (96, 64)
    assert page.handlers["_follow"](photo, page.name, True) == (gr.skip(), gr.skip())
    assert page.handlers["_begin_anew"](photo)[0]["layers"] == []


def test_a_closed_editor_is_shown_nothing_until_it_is_opened(page, photo):
    assert page.handlers["_follow"](photo, "", False) == (gr.skip(), gr.skip())
    assert page.handlers["_follow"](photo, "0" * 64, False) == (None, "")
    value, painted_on, is_open = page.handlers["_open"](photo, "")
    assert (painted_on, is_open, value["background"].size) == (page.name, True, (96, 64))
    assert page.handlers["_open"](photo, page.name) == (gr.skip(), gr.skip(), True)


def test_settings_that_come_back_bring_the_painted_picture_and_its_paint_is_not_laid_on_twice(page, photo):
    request = page.request(photo, paint(page, colour=(0, 0, 255, 128)), page.name)
    picture, *_ = page.form.values(request)
    again = page.engine.inputs.keep(picture)
    assert again == request.image and again.sha256 != page.name
    assert page.form.merged({"prompt": "b"})[-2:] == [gr.skip(), gr.skip()]
