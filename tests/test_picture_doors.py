"""A picture given through every door, on the real engine: the same pixels, and again from its own metadata."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gradio_client import handle_file
from PIL import Image, ImageDraw

from presets.metadata import read_request
from presets.requests import ImageToImage
from tests.pixels import drawn, pixels

ROOT = Path(__file__).parent.parent
VALUES = {"prompt": "a blue house", "steps": 4, "seed": 7, "strength": 0.75}


@pytest.fixture(scope="module")
def photo(tmp_path_factory) -> Path:
    image = Image.new("RGB", (130, 100), (120, 170, 230))
    ImageDraw.Draw(image).rectangle((40, 40, 90, 99), fill=(200, 40, 30))
    path = tmp_path_factory.mktemp("given") / "photo.png"
    image.save(path)
    return path


@pytest.fixture(scope="module")
def expected(real_engine, photo) -> np.ndarray:
    return drawn(real_engine, ImageToImage(image=real_engine.inputs.add(photo), **VALUES))


def test_the_endpoint_draws_the_same_pixels_and_tells_of_the_size(real_client, photo, expected):
    files, record = real_client.predict(image=handle_file(photo), **VALUES, api_name="/image_to_image")
    assert np.array_equal(pixels(files), expected)
    assert expected.shape == (1, 96, 128, 3)
    assert "The picture is 130 × 100 pixels; it is drawn at 128 × 96." in record["pictures"][0]["warnings"]


def test_the_command_line_draws_the_same_pixels(photo, expected, tmp_path):
    line = [sys.executable, "app.py", "--home", str(tmp_path), "--threads", "1", "image-to-image"]
    options = [f"--{name}={value}" for name, value in VALUES.items()]
    done = subprocess.run([*line, f"--image={photo}", *options], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert np.array_equal(pixels([done.stdout.strip()]), expected)


def test_the_saved_pictures_own_metadata_draws_it_again_until_its_input_is_gone(real_engine, photo, expected):
    (saved,) = real_engine.submit(ImageToImage(image=real_engine.inputs.add(photo), **VALUES)).result()
    request = read_request(saved.path).request
    assert np.array_equal(drawn(real_engine, request), expected)
    kept = next(real_engine.inputs.root.rglob(f"{request.image.sha256}.png"))
    kept.unlink()
    with pytest.raises(Exception, match=r"choose it again. \[E-IMAGE-MISSING\]"):
        real_engine.submit(request)
