"""A control picture given through every door, on the real engine: the same pixels, and again from its own metadata."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gradio_client import handle_file
from PIL import Image

from presets.metadata import read_request
from presets.requests import ControlNet, ImageToImage
from tests.pixels import drawn, pixels
from training.evaluate_controlnet import questions
from training.outlines import outline_of

ROOT = Path(__file__).parent.parent
VALUES = {"prompt": "a red car on a meadow by day", "steps": 4, "seed": 7}
UNIT = {"weight": 0.9, "end": 0.75, "preprocessor": "canny", "low_threshold": 60}


@pytest.fixture(scope="module")
def outline(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("given") / "outline, of a car=1.png"
    outline_of(questions(1)[0].stage, 128).save(path)
    return path


@pytest.fixture(scope="module")
def request_(real_engine, outline) -> ControlNet:
    return ControlNet.model_validate({**VALUES, "units": [{**UNIT, "picture": real_engine.inputs.add(outline)}]})


@pytest.fixture(scope="module")
def expected(real_engine, request_) -> np.ndarray:
    return drawn(real_engine, request_)


def test_the_unit_changes_the_picture(real_engine, request_, expected):
    ignored = request_.model_copy(update={"units": (request_.units[0].model_copy(update={"weight": 0.0}),)})
    assert not np.array_equal(drawn(real_engine, ignored), expected)


def test_the_endpoint_draws_the_same_pixels(real_client, outline, expected):
    units = [{**UNIT, "picture": handle_file(outline)}]
    files, record = real_client.predict(units=units, **VALUES, api_name="/controlnet")
    assert np.array_equal(pixels(files), expected)
    assert record["pictures"][0]["request"]["units"][0]["control"] == "storybook-outline"


def test_the_command_line_draws_the_same_pixels(outline, expected, tmp_path):
    line = [sys.executable, "app.py", "--home", str(tmp_path), "--threads", "1", "controlnet"]
    unit = ",".join(f"{key.replace('_', '-')}={value}" for key, value in {"picture": outline, **UNIT}.items())
    options = [f"--{name}={value}" for name, value in VALUES.items()]
    done = subprocess.run([*line, *options, "--unit", unit], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert np.array_equal(pixels([done.stdout.strip()]), expected)


def test_the_saved_pictures_own_metadata_draws_it_again(real_engine, request_, expected):
    (saved,) = real_engine.submit(request_).result()
    assert np.array_equal(drawn(real_engine, read_request(saved.path).request), expected)


BAD = [
    ({"weight": 5}, "E-WEIGHT"),
    ({"start": 0.9, "end": 0.2}, "E-CONTROL"),
    ({"control": "storybook-outlin"}, "The nearest: storybook-outline. [E-CONTROL-UNKNOWN]"),
    ({"control": "../../etc/passwd"}, "E-CONTROL-UNKNOWN"),
    ({"picture": None}, "Control unit 1 has no picture"),
    ({"picture": "/etc/passwd"}, "must be the file of a picture"),
    ({"preprocessor": "<script>"}, "E-PREPROCESSOR"),
]


@pytest.mark.parametrize(("values", "words"), BAD)
def test_a_bad_unit_is_refused_through_the_endpoint_in_a_sentence(real_client, outline, values, words):
    units = [{"picture": handle_file(outline), **values}]
    with pytest.raises(Exception, match=r".") as refused:
        real_client.predict(units=units, **VALUES, api_name="/controlnet")
    assert words in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"<svg/>", b"\x89PNG\r\n\x1a\nbroken"])
def test_a_bad_picture_is_refused_through_the_endpoint(real_client, tmp_path, content):
    (tmp_path / "bad.png").write_bytes(content)
    with pytest.raises(Exception, match="E-IMAGE"):
        real_client.predict(units=[{"picture": handle_file(tmp_path / "bad.png")}], **VALUES, api_name="/controlnet")


def test_a_picture_of_one_colour_and_one_of_another_shape_are_drawn(real_engine):
    strange = [Image.new("RGB", (16, 16), "white"), Image.new("RGBA", (300, 20), (0, 0, 0, 0))]
    for image in strange:
        units = [{"picture": real_engine.inputs.keep(image)}]
        (saved,) = real_engine.submit(ControlNet.model_validate({**VALUES, "steps": 1, "units": units})).result()
        assert Image.open(saved.path).size == saved.request.canvas


GIVEN = {"prompt": "a red car in the snow", "steps": 4, "seed": 7, "strength": 0.75}


@pytest.fixture(scope="module")
def redrawn(real_engine, outline) -> np.ndarray:
    unit = {"preprocessor": "canny", "weight": 0.9}
    request = ImageToImage.model_validate({**GIVEN, "image": real_engine.inputs.add(outline), "units": [unit]})
    return drawn(real_engine, request)


def test_a_picture_is_redrawn_along_its_own_lines_by_the_endpoint(real_client, outline, redrawn):
    given = {**GIVEN, "image": handle_file(outline)}
    units = [{"preprocessor": "canny", "weight": 0.9}]
    files, record = real_client.predict(**given, units=units, api_name="/image_to_image")
    assert np.array_equal(pixels(files), redrawn)
    assert record["pictures"][0]["request"]["units"][0]["control"] == "storybook-outline"
    plain, _ = real_client.predict(**given, api_name="/image_to_image")
    assert not np.array_equal(pixels(plain), redrawn)


def test_a_picture_is_redrawn_along_its_own_lines_by_the_command_line(outline, redrawn, tmp_path):
    line = [sys.executable, "app.py", "--home", str(tmp_path), "--threads", "1", "image-to-image", "--image", outline]
    options = [f"--{name}={value}" for name, value in GIVEN.items()]
    unit = ["--unit", "preprocessor=canny,weight=0.9"]
    done = subprocess.run([*line, *options, *unit], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert np.array_equal(pixels([done.stdout.strip()]), redrawn)


def test_an_unknown_control_model_is_told_before_anything_is_redrawn(real_client, outline):
    units = [{"control": "nothing"}]
    with pytest.raises(Exception, match="No control model is called 'nothing'"):
        real_client.predict(**GIVEN, image=handle_file(outline), units=units, api_name="/image_to_image")
