"""Pictures that are given: whatever the file, plain pixels or one sentence."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from presets.errors import InvalidField
from presets.images import FILE_LIMIT, FORMATS, ImageMissing, ImageRef
from presets.inputs import Inputs, decode, digest, on_white
from tests.bad_pictures import GRADIENT, REFUSED, encoded


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_cannot_be_used_is_refused_with_a_sentence(name):
    content, code, words = REFUSED[name]
    with pytest.raises(InvalidField) as refused:
        decode(content, "image")
    assert (refused.value.field, refused.value.code) == ("image", code)
    assert words in refused.value.message


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_plain_pixels(kind):
    image, notes = decode(encoded(GRADIENT, kind))
    assert (image.mode, image.size, notes) == ("RGB", (40, 30), ())
    assert np.abs(np.asarray(image, float) - np.asarray(GRADIENT, float)).mean() < 12


def test_16_bits_of_grey_are_scaled_and_their_mean_is_kept():
    grey = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    image, _ = decode(encoded(Image.fromarray(grey)))
    assert np.asarray(image)[..., 0].mean() == pytest.approx(grey.mean() / 257, abs=0.5)
    assert np.asarray(image).max() == 255


@pytest.mark.parametrize("mode", ["1", "L", "P"])
def test_other_modes_become_colours(mode):
    image, _ = decode(encoded(GRADIENT.convert(mode)))
    assert np.array_equal(np.asarray(image), np.asarray(GRADIENT.convert(mode).convert("RGB")))


def test_a_cmyk_jpeg_has_the_colours_it_shows():
    red = Image.new("RGB", (32, 32), (200, 30, 30)).convert("CMYK")
    image, _ = decode(encoded(red, "JPEG", quality=95))
    assert np.asarray(image)[16, 16].tolist() == pytest.approx([200, 30, 30], abs=8)


def test_colours_of_another_profile_are_brought_to_srgb():
    linear = ImageCms.createProfile("XYZ")
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert digest(decode(encoded(GRADIENT, icc_profile=profile))[0]) == digest(GRADIENT)
    broken = ImageCms.ImageCmsProfile(linear).tobytes()[:100]
    assert digest(decode(encoded(GRADIENT, icc_profile=broken))[0]) == digest(GRADIENT)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_transparent_is_seen_on_white(mode):
    clear = GRADIENT.convert(mode)
    clear.putalpha(0)
    image, notes = decode(encoded(clear))
    assert notes == ("100% of the picture is transparent; it is seen on white.",)
    assert np.asarray(on_white(image)).min() == 255


def test_a_palette_with_a_transparent_colour_keeps_it_clear():
    palette = Image.new("P", (32, 32), 0)
    palette.putpalette([255, 0, 0, 0, 255, 0])
    palette.paste(1, (0, 0, 8, 32))
    image, notes = decode(encoded(palette, transparency=1))
    assert image.mode == "RGBA" and notes == ()
    assert np.asarray(on_white(image))[0, 0].tolist() == [255, 255, 255]
    assert np.asarray(on_white(image))[0, 31].tolist() == [255, 0, 0]


def test_an_opaque_alpha_channel_counts_for_nothing():
    assert digest(decode(encoded(GRADIENT.convert("RGBA")))[0]) == digest(GRADIENT)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame_is_used_and_it_is_told(kind):
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue", "green")]
    content = encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=100)
    image, notes = decode(content)
    assert notes == ("The picture is animated; only the first of its 3 frames is used.",)
    assert np.asarray(image)[0, 0].tolist() == pytest.approx([255, 0, 0], abs=4)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_picture_is_put_upright(orientation):
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(GRADIENT, "PNG", exif=exif)
    image, _ = decode(content)
    assert np.array_equal(np.asarray(image), np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content)))))
    assert not image.getexif()


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(FORMATS), st.data())
def test_whatever_a_file_holds_it_is_a_picture_or_a_sentence(kind, data):
    content = bytearray(encoded(GRADIENT, kind))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        image, _ = decode(bytes(content))
    except InvalidField as refused:
        assert refused.code.startswith("E-IMAGE")
    else:
        assert image.mode in ("RGB", "RGBA")


@pytest.fixture
def inputs(tmp_path):
    return Inputs(tmp_path / "inputs")


def written(tmp_path, content, name="a.png"):
    path = tmp_path / name
    path.write_bytes(content)
    return path


def test_the_same_picture_has_one_name_whatever_file_it_came_in(inputs, tmp_path):
    png = inputs.add(written(tmp_path, encoded(GRADIENT)))
    webp = inputs.add(written(tmp_path, encoded(GRADIENT, "WEBP", lossless=True), "b.jpg"))
    assert png == webp == ImageRef(sha256=digest(GRADIENT), width=40, height=30)
    assert len(list(inputs.root.rglob("*.*"))) == 1


def test_what_is_kept_comes_back_to_the_pixel(inputs):
    for image in (GRADIENT, Image.merge("RGBA", (*GRADIENT.split(), GRADIENT.getchannel(0)))):
        assert np.array_equal(np.asarray(inputs.open(inputs.keep(image))), np.asarray(image))


def test_of_the_file_only_pixels_are_kept(inputs, tmp_path):
    exif = Image.Exif()
    exif[0x010E] = "my home address"
    inputs.add(written(tmp_path, encoded(GRADIENT, "JPEG", exif=exif)))
    (kept,) = inputs.root.rglob("*.png")
    assert b"home address" not in kept.read_bytes()


def test_a_file_that_changed_is_read_again(inputs, tmp_path):
    path = written(tmp_path, encoded(GRADIENT))
    first = inputs.add(path)
    path.write_bytes(encoded(GRADIENT.transpose(Image.Transpose.ROTATE_180)))
    assert inputs.add(path) != first


def test_what_is_to_be_said_of_a_file_is_said_again_when_it_is_given_again(inputs, tmp_path):
    clear = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    path = written(tmp_path, encoded(clear))
    assert inputs.add(path).notes == inputs.add(path).notes != ()


@pytest.mark.parametrize("damage", ["gone", "another", "cut"])
def test_a_picture_that_is_not_there_any_more_is_a_sentence(inputs, damage):
    reference = inputs.keep(GRADIENT)
    (path,) = inputs.root.rglob("*.png")
    if damage == "gone":
        path.unlink()
        with pytest.raises(ImageMissing):
            inputs.check(reference)
    elif damage == "another":
        path.write_bytes(encoded(GRADIENT.transpose(Image.Transpose.ROTATE_180)))
    else:
        path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ImageMissing, match="choose it again"):
        inputs.open(reference)


@pytest.mark.parametrize("damage", ["empty", "another", "cut"])
def test_a_damaged_picture_is_sound_again_once_it_is_given_again(inputs, tmp_path, damage):
    file = written(tmp_path, encoded(GRADIENT))
    reference = inputs.add(file)
    (path,) = inputs.root.rglob("*.png")
    other = encoded(GRADIENT.transpose(Image.Transpose.ROTATE_180))
    path.write_bytes({"empty": b"", "another": other, "cut": path.read_bytes()[:-40]}[damage])
    for anew in (inputs, Inputs(inputs.root)):  # also in the next run of the program
        assert anew.add(file) == reference
        assert digest(anew.open(reference)) == reference.sha256


def test_a_sound_picture_is_not_written_again(inputs):
    inputs.keep(GRADIENT)
    (path,) = inputs.root.rglob("*.png")
    before = path.stat()
    inputs.keep(GRADIENT)
    assert path.stat().st_ino == before.st_ino


def test_a_reference_of_another_size_is_not_taken(inputs):
    with pytest.raises(ImageMissing):
        inputs.check(inputs.keep(GRADIENT).model_copy(update={"width": 50}))


def test_a_file_over_the_limit_or_none_at_all_is_refused(inputs, tmp_path):
    with pytest.raises(InvalidField, match=r"MiB; the limit is 32. \[E-IMAGE-FILE\]"):
        inputs.add(written(tmp_path, bytes(FILE_LIMIT + 1)))
    for nothing in (tmp_path, tmp_path / "none.png"):
        with pytest.raises(InvalidField, match="There is no file"):
            inputs.add(nothing)


@pytest.mark.parametrize("way", ["add", "keep"])
def test_a_refusing_disk_is_told_in_a_sentence(tmp_path, way):
    (tmp_path / "inputs").write_text("a file where the folder should be")
    inputs = Inputs(tmp_path / "inputs")
    with pytest.raises(InvalidField, match="disk") as refused:
        if way == "add":
            inputs.add(written(tmp_path, encoded(GRADIENT)), "mask")
        else:
            inputs.keep(GRADIENT, field="mask")
    assert (refused.value.code, refused.value.field) == ("E-DISK", "mask")
