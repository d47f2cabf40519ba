"""Bad pictures and masks through the page's endpoints and the command line, on the real engine: each gets its sentence,
each odd one its picture with a warning, and a good job passes after them."""

from pathlib import Path

import pytest
from gradio_client import handle_file
from gradio_client.exceptions import AppError
from PIL import Image, ImageDraw

from presets.metadata import read_request
from tabs.command_line import parse_arguments, run_request
from tests.bad_pictures import GRADIENT, REFUSED, encoded

SMALL = {"prompt": "a boat", "steps": 1, "strength": 1.0}


def scene(mode="RGB", size=(64, 64)):
    image = Image.new(mode, size)
    ImageDraw.Draw(image).rectangle(
        (16, 16, 47, 47), fill=255 if mode in ("L", "1") else (200, 40, 30, 255)[: len(mode)]
    )
    return image


def mask(size=(64, 64)):
    return scene("L", size)


ODD = {
    "cmyk.jpg": (encoded(GRADIENT.convert("CMYK").resize((64, 64)), "JPEG"), ""),
    "sixteen.png": (encoded(Image.new("I;16", (64, 64), 30_000)), ""),
    "clear.png": (encoded(Image.new("RGBA", (64, 64), (9, 9, 9, 0))), "transparent"),
    "moving.gif": (encoded(scene(), "GIF", save_all=True, append_images=[GRADIENT.resize((64, 64))]), "first"),
}
"""Name -> content, and a word of its warning, if it gets one."""

BAD_MASKS = {
    "black": (Image.new("L", (64, 64)), "E-MASK-EMPTY"),
    "another shape": (mask((64, 32)), "E-MASK-SIZE"),
    "none": (None, "E-MASK"),
}

ODD_MASKS = {
    "white": (Image.new("L", (64, 64), 255), "the whole picture is redrawn"),
    "larger": (mask((128, 128)), "brought from 128 × 128 to 64 × 64"),
    "bits": (scene("1"), ""),
    "painted": (scene("RGBA"), ""),
}


@pytest.fixture
def good(tmp_path) -> Path:
    return kept(tmp_path / "good.png", scene())


def kept(path: Path, image: Image.Image) -> Path:
    image.save(path)
    return path


def command(engine, *options: object) -> int:
    values = [f"--{name}={value}" for name, value in SMALL.items()]
    return run_request(engine, parse_arguments([*map(str, options), *values]))


@pytest.mark.parametrize("kind", ["image-to-image", "inpaint"])
@pytest.mark.parametrize("name", REFUSED)
def test_the_command_line_refuses_a_picture_in_one_line(real_engine, tmp_path, capsys, kind, name):
    content, code, words = REFUSED[name]
    path = tmp_path / "picture.png"
    path.write_bytes(content)
    extended = ["--extend-left=8"] if kind == "inpaint" else []
    assert command(real_engine, kind, f"--image={path}", *extended) == 2
    error = capsys.readouterr().err
    assert words in error
    assert f"[{code}]" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("name", [name for name in REFUSED if "x" not in name])
def test_the_endpoint_refuses_a_picture_with_a_sentence(real_client, tmp_path, name):
    content, code, words = REFUSED[name]
    path = tmp_path / "picture.png"
    path.write_bytes(content)
    with pytest.raises((AppError, ValueError)) as refused:
        real_client.predict(image=handle_file(path), **SMALL, api_name="/image_to_image")
    assert words in str(refused.value)
    assert code in str(refused.value)


@pytest.mark.parametrize("name", ODD)
def test_odd_pictures_are_drawn_on_and_what_is_to_be_said_is_said(real_engine, tmp_path, capsys, name):
    content, word = ODD[name]
    (tmp_path / name).write_bytes(content)
    target = tmp_path / "made.png"
    assert command(real_engine, "image-to-image", f"--image={tmp_path / name}", f"--output={target}") == 0
    assert word in capsys.readouterr().err
    assert Image.open(target).size == (64, 64)


@pytest.mark.parametrize("name", BAD_MASKS)
def test_a_mask_under_which_nothing_can_be_drawn_is_refused(real_client, good, tmp_path, name):
    image, code = BAD_MASKS[name]
    given = {"mask": handle_file(kept(tmp_path / "mask.png", image))} if image else {}
    with pytest.raises((AppError, ValueError), match=rf"\[{code}\]"):
        real_client.predict(image=handle_file(good), **given, **SMALL, api_name="/inpaint")


@pytest.mark.parametrize("name", ODD_MASKS)
def test_odd_masks_are_followed_and_what_is_to_be_said_is_said(real_engine, good, tmp_path, capsys, name):
    image, words = ODD_MASKS[name]
    target = tmp_path / "made.png"
    path = kept(tmp_path / "mask.png", image)
    assert command(real_engine, "inpaint", f"--image={good}", f"--mask={path}", f"--output={target}") == 0
    assert words in capsys.readouterr().err
    assert read_request(target).request.mask.size == image.size


def test_after_all_of_them_a_good_job_passes_through_both_doors(real_client, real_engine, good):
    _, record = real_client.predict(image=handle_file(good), **SMALL, api_name="/image_to_image")
    assert record["state"] == "finished"
    assert command(real_engine, "image-to-image", f"--image={good}") == 0
