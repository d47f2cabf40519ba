"""A picture made larger through every door, on the real engine, by the model that ships; and what cannot be."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gradio_client import handle_file
from PIL import Image, ImageDraw

from presets.metadata import read_request
from presets.upscale import Upscale
from tests.pixels import drawn, pixels

ROOT = Path(__file__).parent.parent
VALUES = {"factor": 2.5, "tile": 64, "overlap": 16}


@pytest.fixture(scope="module")
def photo(tmp_path_factory) -> Path:
    image = Image.new("RGB", (100, 60), (120, 170, 230))
    ImageDraw.Draw(image).ellipse((30, 10, 70, 50), fill=(200, 40, 30))
    path = tmp_path_factory.mktemp("given") / "photo.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    image.save(path, quality=95, exif=exif)
    return path


@pytest.fixture(scope="module")
def expected(real_engine, photo) -> np.ndarray:
    return drawn(real_engine, Upscale(image=real_engine.inputs.add(photo), **VALUES))


def test_the_picture_is_upright_and_as_large_as_asked_for(expected):
    assert expected.shape == (1, 250, 150, 3)


def test_the_endpoint_makes_the_same_pixels(real_client, photo, expected):
    files, record = real_client.predict(image=handle_file(photo), **VALUES, api_name="/upscale")
    assert np.array_equal(pixels(files), expected)
    assert record["pictures"][0]["request"]["upscaler"] == "storybook-x2"


def test_the_command_line_makes_the_same_pixels(photo, expected, tmp_path):
    line = [sys.executable, "app.py", "--home", str(tmp_path), "--threads", "1", "upscale", f"--image={photo}"]
    options = [f"--{name}={value}" for name, value in VALUES.items()]
    done = subprocess.run([*line, *options], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert np.array_equal(pixels([done.stdout.strip()]), expected)


def test_the_saved_pictures_own_metadata_makes_it_again(real_engine, photo, expected):
    (saved,) = real_engine.submit(Upscale(image=real_engine.inputs.add(photo), **VALUES)).result()
    assert "-upscale-" in saved.path.name
    request = read_request(saved.path).request
    assert request == saved.request
    assert np.array_equal(drawn(real_engine, request), expected)


def test_every_door_draws_the_larger_picture_anew_with_the_same_pixels(real_engine, real_client, photo, tmp_path):
    values = {"factor": 1.5, "redraw_strength": 0.5, "steps": 2, "seed": 7, "prompt": "a red ball"}
    expected = drawn(real_engine, Upscale(image=real_engine.inputs.add(photo), **values))
    files, record = real_client.predict(image=handle_file(photo), **values, api_name="/upscale")
    request = record["pictures"][0]["request"]
    assert (request["checkpoint"], request["redraw_tile"]) == ("storybook", 128)
    assert np.array_equal(pixels(files), expected)
    line = [sys.executable, "app.py", "--home", str(tmp_path), "--threads", "1", "upscale", f"--image={photo}"]
    options = [f"--{name.replace('_', '-')}={value}" for name, value in values.items()]
    done = subprocess.run([*line, *options], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert np.array_equal(pixels([done.stdout.strip()]), expected)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"redraw_strength": 0.3, "checkpoint": "nothing"}, "No checkpoint is called 'nothing'"),
        ({"redraw_strength": 0.3, "tile_control": "nothing"}, "No control model is called 'nothing'"),
        ({"redraw_strength": 0.3, "prompt": "<lora:nothing:1>"}, "No LoRA is called 'nothing'"),
        ({"redraw_strength": 0.01}, "leaves no step to do"),
        ({"factor": 9}, "Allowed: 1 to 8"),
        ({"tile": 64, "overlap": 64}, "over half a tile"),
        ({"upscaler": "4x-nothing"}, "No upscaler is called '4x-nothing'"),
        ({"face_restorer": "GFPGANv1.4"}, "No face restorer is called 'GFPGANv1.4'. Files of GFPGAN"),
        ({"upscaler": "../../etc/passwd"}, "No upscaler is called"),
        ({"upscaler": "storybok-x2"}, "The nearest: storybook-x2"),
        ({"width": 7}, "no parameter 'width'"),
    ],
)
def test_what_cannot_be_is_told_at_once_and_a_good_job_still_passes(real_client, photo, expected, values, words):
    with pytest.raises(Exception, match=r"\[E-|no parameter|width") as refused:
        real_client.predict(image=handle_file(photo), **{**VALUES, **values}, api_name="/upscale")
    assert words in str(refused.value) or "width" in values
    files, _ = real_client.predict(image=handle_file(photo), **VALUES, api_name="/upscale")
    assert np.array_equal(pixels(files), expected)
