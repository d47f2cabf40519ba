import io
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from presets.archive import zipped
from presets.gallery import Gallery
from presets.requests import TextToImage


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    gallery = Gallery(tmp_path / "pictures")
    for seed in range(3):
        gallery.add(Image.effect_noise((200, 200), 50), TextToImage(prompt="", seed=seed), {})
    return gallery


def opened(gallery: Gallery) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(b"".join(zipped(gallery.recent()))))


def test_a_zip_file_holds_the_files_as_they_are_under_names_that_tell_no_secret(gallery: Gallery):
    archive = opened(gallery)
    assert archive.testzip() is None
    for picture in gallery.recent():
        assert archive.read(picture.plain_name) == picture.path.read_bytes()
    day = gallery.recent()[0].path.parent.name
    assert sorted(archive.namelist()) == [f"{day}-000001-0.png", f"{day}-000002-1.png", f"{day}-000003-2.png"]


def test_what_is_gone_by_then_is_named(gallery: Gallery):
    pictures = gallery.recent()
    pictures[1].path.unlink()
    archive = zipfile.ZipFile(io.BytesIO(b"".join(zipped(pictures))))
    assert len(archive.namelist()) == 3
    assert pictures[1].plain_name in archive.read("missing.txt").decode()


def test_nothing_gives_an_empty_zip_file():
    assert zipfile.ZipFile(io.BytesIO(b"".join(zipped([])))).namelist() == []


def test_a_zip_file_comes_in_pieces_of_a_picture_each(gallery: Gallery):
    largest = max(picture.path.stat().st_size for picture in gallery.recent())
    assert max(map(len, zipped(gallery.recent()))) < largest + 1000
