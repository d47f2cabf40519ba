"""What is painted in the page becomes a mask, and a mask is shown as painted."""

import io
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from gradio.components.image_editor import AcceptBlobs, EditorDataBlobs
from PIL import Image

from presets.errors import InvalidField
from presets.inputs import painted
from presets.requests import Inpaint
from tabs import masking, paintings
from tabs.form import Form
from tests.fake_engine import FakeEngine

PICTURE = Image.new("RGB", (96, 64), "red")


class Page:
    """A form of a picture and its mask, and the handlers behind it."""

    def __init__(self, folder: Path):
        self.engine = FakeEngine(folder)
        self.form = Form(Inpaint, self.engine.inputs)
        with gr.Blocks() as blocks:
            self.form.widget("image")
            masking.build(self.engine, self.form)
            self.form.widget("prompt")
        self.handlers = {event.name: event.fn for event in blocks.fns.values()}
        self.editor = self.form.groups["mask"].components[0]


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Page:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    return Page(tmp_path / "pictures")


@pytest.fixture
def photo(tmp_path: Path) -> dict[str, str]:
    PICTURE.save(tmp_path / "photo.png")
    return {"path": str(tmp_path / "photo.png")}


def layer(box=(10, 10, 30, 40), light=255, alpha=255) -> bytes:
    image = Image.new("RGBA", PICTURE.size, (255, 255, 255, 0))
    image.paste((light, light, light, alpha), box)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def request(page: Page, photo: dict[str, str], editor: object) -> Inpaint:
    return page.form.request([photo, "a", editor, ""])


def test_what_was_painted_in_a_browser_is_the_mask(page, photo):
    page.editor.blob_storage["one"] = EditorDataBlobs(background=None, layers=[layer()], composite=None)
    for _ in range(2):  # the check beside the field and the run read it, one after the other
        mask = page.engine.inputs.open(request(page, photo, {"id": "one"}).mask)
    assert painted(mask).getbbox() == (10, 10, 30, 40)


def test_shades_of_grey_are_levels_of_the_mask_and_shown_again(page, photo):
    page.editor.blob_storage["one"] = EditorDataBlobs(
        background=None, layers=[layer(), layer((40, 0, 50, 60), 64), layer((60, 0, 70, 60), 255, 100)], composite=None
    )
    mask = request(page, photo, {"id": "one"}).mask
    levels = page.engine.inputs.levels(mask)
    assert [levels.getpixel(point) for point in ((0, 0), (20, 20), (45, 20), (65, 20))] == [0, 255, 64, 100]
    (again,) = masking.shown(page.engine.inputs, request(page, photo, {"id": "one"}).image, mask)[0]["layers"]
    assert np.array_equal(np.asarray(again.getchannel("A")), np.asarray(levels))


def test_paintings_are_not_kept_for_ever(page, photo):
    for number in range(100):
        page.editor.accept_blobs(sent(str(number)))
    assert len(page.editor.blob_storage) == paintings.KEPT_BLOBS
    assert painted(page.engine.inputs.open(request(page, photo, {"id": "99"}).mask)).getbbox() == (10, 10, 30, 40)


def test_a_painting_takes_no_more_room_than_a_picture(page, monkeypatch):
    with pytest.raises(gr.Error):
        page.editor.accept_blobs(sent("one", index="1000000000"))
    monkeypatch.setattr(paintings, "FILE_LIMIT", 10)
    with pytest.raises(gr.Error):
        page.editor.accept_blobs(sent("one"))
    assert not page.editor.blob_storage


def sent(identifier: str, index: str = "0") -> AcceptBlobs:
    about = {"type": "layer", "index": index, "file": "file", "id": identifier}
    return AcceptBlobs.model_construct(data=about, files=[("file", layer())])


@pytest.mark.parametrize(
    "editor", [None, {}, {"id": "unknown"}, {"id": None, "layers": []}, {"layers": None, "background": None}]
)
def test_without_a_painting_a_mask_is_asked_for(page, photo, editor):
    with pytest.raises(InvalidField, match=r"A mask is missing: paint .*\[E-MASK\]"):
        request(page, photo, editor)


def test_the_complaint_about_the_mask_stands_beside_the_editor(page, photo):
    verdicts = page.form.check(photo, "a", None, "")
    assert [verdict["is_valid"] for verdict in verdicts] == [True, True, False, True]


def test_that_the_disk_refuses_the_mask_stands_beside_the_editor(page, photo):
    page.form.check(photo, "a", None, "")  # keeps the picture
    for number in range(256):
        page.engine.inputs.root.joinpath(f"{number:02x}").touch()  # files where folders should be
    page.editor.blob_storage["one"] = EditorDataBlobs(background=None, layers=[layer()], composite=None)
    verdicts = page.form.check(photo, "a", {"id": "one"}, "")
    assert [verdict["is_valid"] for verdict in verdicts] == [True, True, False, True]
    assert "[E-DISK]" in verdicts[2]["message"]


def test_a_file_that_nobody_uploaded_is_no_layer(page, photo):
    with pytest.raises(InvalidField, match="Only a file that was uploaded"):
        request(page, photo, {"layers": [{"path": "/etc/passwd"}]})


def test_the_picture_that_is_chosen_is_shown_to_be_painted_on(page, photo):
    value, name = page.handlers["follow"](photo, "")
    assert (value["background"].size, value["layers"]) == (PICTURE.size, [])
    assert page.handlers["follow"](photo, name)[0] == gr.skip()
    assert page.handlers["follow"](None, name) == (None, "")


def test_a_mask_from_a_file_is_shown_as_painted(page, photo, tmp_path):
    (tmp_path / "mask.png").write_bytes(layer())
    value, _ = page.handlers["begin_anew"](photo, {"path": str(tmp_path / "mask.png")})
    (shown,) = value["layers"]
    assert shown.getchannel("A").getbbox() == (10, 10, 30, 40)


def test_the_settings_of_a_picture_show_its_mask_again(page, photo):
    page.editor.blob_storage["one"] = EditorDataBlobs(background=None, layers=[layer()], composite=None)
    image, _, editor, name = page.form.values(request(page, photo, {"id": "one"}))
    assert np.array_equal(np.asarray(image), np.asarray(PICTURE))
    assert editor["layers"][0].getchannel("A").getbbox() == (10, 10, 30, 40)
    assert page.handlers["follow"](photo, name)[0] == gr.skip()


def test_a_large_picture_is_painted_on_at_a_smaller_size():
    value = masking.editor_value(Image.new("RGB", (4000, 3000)), Image.new("L", (4000, 3000), 255))
    assert value["background"].size == value["layers"][0].size == (1536, 1152)
