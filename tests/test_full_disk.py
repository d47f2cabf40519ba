"""A disk that is full: each thing that is written says so, leaves nothing in part, and works once there is room."""

import json
import time
from pathlib import Path

import pytest
from PIL import Image
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from pipelines.engine.hashes import Hashes
from pipelines.engine.jobs import Failed, Saved
from pipelines.engine.local import LocalEngine
from pipelines.engine.store import JobNotWritten, open_store
from presets.control_pictures import ControlPictures
from presets.errors import UserError
from presets.gallery import Gallery
from presets.inputs import Inputs
from presets.library import Library
from presets.requests import TextToImage
from presets.settings import Settings
from presets.thumbnails import Thumbnails
from tabs.command_output import PictureFiles
from tabs.upload_limits import WholeUploads
from tests.full_disk import PAGE, SmallDisk, small_disk

NOISE = Image.effect_noise((64, 64), 90).convert("RGB")
HOUSE = TextToImage(prompt="a red house", seed=7, steps=1, width=64, height=64)


@pytest.fixture
def disk(tmp_path):
    with small_disk(tmp_path / "disk") as disk:
        yield disk


def save_picture(root: Path) -> None:
    Gallery(root / "pictures").add(NOISE, HOUSE, {})


def keep_input(root: Path) -> None:
    Inputs(root / "inputs").keep(NOISE)


def add_input(root: Path) -> None:
    path = root.parent / "given.png"
    NOISE.save(path)
    Inputs(root / "inputs").add(path)


def save_preset(root: Path) -> None:
    Library(root / "presets").save("text-to-image", "Mine", {"prompt": "a house"}, overwrite=True)


def copy_output(root: Path) -> None:
    source = Gallery(root.parent / "pictures").add(NOISE, HOUSE, {})
    PictureFiles(str(root / "house.png"), 1).keep(Saved(index=0, path=source, request=HOUSE))


@pytest.mark.parametrize("left", [0, PAGE, 2 * PAGE])
@pytest.mark.parametrize("write", [save_picture, keep_input, add_input, save_preset, copy_output])
def test_what_cannot_be_written_says_so_and_leaves_nothing_in_part(disk: SmallDisk, write, left):
    write(disk.root)
    for path in disk.files:
        path.unlink()
    try:
        with disk.full(left):
            write(disk.root)
    except UserError as error:
        assert "disk is full" in error.message and disk.files == set()
    else:
        assert left
    write(disk.root)
    assert len(disk.files) == 1 or left


def test_a_preset_that_cannot_be_saved_stays_as_it_was(disk: SmallDisk):
    library = Library(disk.root / "presets")
    library.save("text-to-image", "Mine", {"prompt": "before"})
    with disk.full(), pytest.raises(UserError, match="disk is full"):
        library.save("text-to-image", "Mine", {"prompt": "after"}, overwrite=True)
    with disk.full(), pytest.raises(UserError, match="disk is full"):
        library.rename("text-to-image", "mine", "Yours")
    assert library.find("text-to-image", "Mine").values == {"prompt": "before"}


def test_a_picture_whose_row_finds_no_room_is_listed_later(disk: SmallDisk):
    gallery = Gallery(disk.root / "pictures")
    gallery.add(NOISE, HOUSE, {})
    with disk.full(left=5 * PAGE):
        path = gallery.add(NOISE, HOUSE, {})
    assert path in [picture.path for picture in gallery.recent()]


def test_a_gallery_on_a_full_disk_can_be_looked_at_and_says_why_it_cannot_be_changed(disk: SmallDisk):
    path = Gallery(disk.root / "pictures").add(NOISE, HOUSE, {})
    gallery = Gallery(disk.root / "pictures")
    (picture,) = gallery.recent()
    for shown in (gallery, Gallery(disk.root / "pictures")):
        with disk.full():
            assert [found.path for found in shown.recent()] == [found.path for found in shown.search("house")] == [path]
            with pytest.raises(UserError, match="disk") as caught:
                shown.star([picture.identifier], on=True)
        assert caught.value.code == "E-DISK" and not shown.recent()[0].starred
    gallery.star([picture.identifier], on=True)
    assert gallery.recent()[0].starred


def test_a_thumbnail_that_cannot_be_kept_is_shown(disk: SmallDisk):
    Gallery(disk.root / "pictures").add(NOISE, HOUSE, {})
    (picture,) = Gallery(disk.root / "pictures").recent()
    thumbnails, before = Thumbnails(disk.root / "thumbnails"), disk.files
    with disk.full():
        shown = thumbnails.of(picture)
    assert disk.files == before and shown == thumbnails.of(picture) and len(disk.files) == len(before) + 1


def test_a_control_picture_that_cannot_be_kept_costs_nothing(disk: SmallDisk):
    pictures = ControlPictures(disk.root / "control")
    with disk.full():
        pictures.put("house", NOISE)
    assert disk.files == set()
    pictures.put("house", NOISE)
    assert pictures.get("house") is not None


def test_hashes_that_cannot_be_kept_leave_those_that_were(disk: SmallDisk, caplog):
    file = disk.root / "hashes.json"
    hashes = Hashes(file, list, bool)
    hashes._known["/a"] = ((1, 2), ("a" * 64,))
    hashes._save()
    before = file.read_bytes()
    hashes._known |= {f"/{number}": ((1, 2), ("b" * 64,)) for number in range(100)}
    with disk.full():
        hashes._save()
    assert file.read_bytes() == before and disk.files == {file} and "could not be saved" in caplog.text
    hashes._save()
    assert len(json.loads(file.read_text())) == 101


def test_an_upload_that_finds_no_room_is_told_so_before_any_of_it_is_written(disk: SmallDisk, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(disk.root / "uploads"))
    client = TestClient(WholeUploads(PlainTextResponse("taken")))
    with disk.full():
        refused = client.post("/gradio_api/upload", content=b"a picture")
    assert refused.status_code == 503 and "disk is full" in refused.text
    assert client.post("/gradio_api/upload", content=b"a picture").text == "taken"


def engine_on(disk: SmallDisk) -> LocalEngine:
    settings = Settings(home=disk.root, threads=1, in_process=True, preview_interval=0)
    return LocalEngine(settings, store=open_store(settings.jobs))


def test_a_job_that_cannot_be_written_down_is_not_accepted_and_the_next_is(disk: SmallDisk):
    engine = engine_on(disk)
    engine.submit(HOUSE)
    waiting = engine.status().waiting
    with disk.full(), pytest.raises(JobNotWritten, match="disk is full"):
        for _ in range(100):  # the table has some room within
            engine.submit(HOUSE)
            waiting += 1
    assert engine.status().waiting == waiting
    time.sleep(1.1)  # the table is tried again after a second
    engine.submit(HOUSE)
    engine.close()
    again = engine_on(disk)
    assert again.status().waiting == waiting + 1
    again.close()


def test_a_job_whose_picture_finds_no_room_says_so_and_the_next_draws(disk: SmallDisk):
    engine = engine_on(disk).start()
    try:
        engine.submit(HOUSE).result()
        with disk.full(left=20 * PAGE):  # the job finds room in its table
            failed = list(engine.submit(HOUSE.model_copy(update={"width": 256, "height": 256})).events())[-1]
        assert isinstance(failed, Failed) and failed.code == "E-DISK" and "disk is full" in failed.message
        assert len(engine.submit(HOUSE).result()) == 1
        assert len(list(disk.root.rglob("*.png"))) == 2 and not list(disk.root.rglob("*.part"))
    finally:
        engine.close()
