import io
import os
from pathlib import Path

import pytest
from PIL import Image

from presets.gallery import Gallery
from presets.gallery_files import Picture
from presets.requests import TextToImage
from presets.thumbnails import ThumbnailFailed, Thumbnails


@pytest.fixture
def thumbnails(tmp_path: Path) -> Thumbnails:
    return Thumbnails(tmp_path / "thumbnails")


def saved(tmp_path: Path, image: Image.Image) -> Picture:
    gallery = Gallery(tmp_path / "pictures")
    gallery.add(image, TextToImage(prompt=""), {})
    return gallery.recent()[0]


def files(tmp_path: Path) -> list[Path]:
    return [path for path in tmp_path.joinpath("thumbnails").rglob("*") if path.is_file()]


@pytest.mark.parametrize(("size", "small"), [((1024, 512), (256, 128)), ((64, 96), (64, 96)), ((2000, 100), (256, 13))])
def test_a_thumbnail_is_a_small_webp_of_the_same_shape(tmp_path: Path, thumbnails: Thumbnails, size, small):
    content = thumbnails.of(saved(tmp_path, Image.new("RGB", size, "red")))
    with Image.open(io.BytesIO(content)) as image:
        assert (image.format, image.size) == ("WEBP", small)
        red, green, blue = image.convert("RGB").getpixel((5, 5))
    assert red > 240 and max(green, blue) < 20


def test_transparency_stays(tmp_path: Path, thumbnails: Thumbnails):
    content = thumbnails.of(saved(tmp_path, Image.new("RGBA", (64, 64), (255, 0, 0, 0))))
    assert Image.open(io.BytesIO(content)).convert("RGBA").getpixel((5, 5))[3] == 0


def test_it_is_made_once_and_again_where_the_picture_has_changed(tmp_path: Path, thumbnails: Thumbnails):
    picture = saved(tmp_path, Image.new("RGB", (64, 64), "red"))
    first = thumbnails.of(picture)
    (kept,) = files(tmp_path)
    kept.write_bytes(b"seen")
    assert thumbnails.of(picture) == b"seen"
    os.utime(picture.path, (1, 1))
    assert thumbnails.of(picture) == first
    thumbnails.forget(picture)
    assert files(tmp_path) == []


def test_a_refusing_disk_costs_only_time(tmp_path: Path, thumbnails: Thumbnails):
    (tmp_path / "thumbnails").write_text("a file where the folder should be")
    assert thumbnails.of(saved(tmp_path, Image.new("RGB", (64, 64)))).startswith(b"RIFF")


@pytest.mark.parametrize("content", [b"", b"<html>", b"\x89PNG\r\n\x1a\n broken", None])
def test_a_file_that_cannot_be_read_gets_a_sentence(tmp_path: Path, thumbnails: Thumbnails, content: bytes | None):
    picture = saved(tmp_path, Image.new("RGB", (64, 64)))
    picture.path.unlink() if content is None else picture.path.write_bytes(content)
    with pytest.raises(ThumbnailFailed, match="cannot be read"):
        thumbnails.of(picture)
    assert files(tmp_path) == []


def test_a_cut_off_picture_gets_a_sentence(tmp_path: Path, thumbnails: Thumbnails):
    picture = saved(tmp_path, Image.effect_noise((128, 128), 50))
    picture.path.write_bytes(picture.path.read_bytes()[:2000])
    with pytest.raises(ThumbnailFailed, match="E-IMAGE-TRUNCATED"):
        thumbnails.of(picture)
