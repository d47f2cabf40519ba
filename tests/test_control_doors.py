"""A control picture through every door, on the real engine: the same pixels, and again from its own metadata."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gradio_client import handle_file

from pipelines.filters import FILTERS
from presets.errors import UserError
from presets.metadata import read_request
from presets.preprocessors import PREPROCESSORS
from presets.requests import ControlPicture
from tabs.command_line import parse_arguments, run_request
from tests.bad_pictures import REFUSED
from tests.pixels import drawn, pixels
from tests.scenes import house

ROOT = Path(__file__).parent.parent
VALUES = {"preprocessor": "canny", "low_threshold": 60, "high_threshold": 150}


@pytest.fixture(scope="module")
def photo(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("given") / "photo.png"
    house().save(path)
    return path


@pytest.fixture(scope="module")
def expected() -> np.ndarray:
    return FILTERS["canny"](np.asarray(house()), ControlPicture.model_construct(**VALUES))[None]


def command(home: Path, *more: str) -> subprocess.CompletedProcess:
    line = [sys.executable, "app.py", "--home", str(home), *more]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_engine_makes_the_pixels_and_finds_them_the_second_time(real_engine, photo, expected, settings):
    request = ControlPicture(image=real_engine.inputs.add(photo), **VALUES)
    others = set(settings.control_pictures.glob("*.png"))
    assert np.array_equal(drawn(real_engine, request), expected)
    (entry,) = set(settings.control_pictures.glob("*.png")) - others
    before = entry.stat().st_mtime_ns
    assert np.array_equal(drawn(real_engine, request), expected)
    assert set(settings.control_pictures.glob("*.png")) - others == {entry}
    assert entry.stat().st_mtime_ns > before


def test_the_endpoint_makes_the_same_pixels(real_client, photo, expected):
    files, record = real_client.predict(image=handle_file(photo), **VALUES, api_name="/control_picture")
    assert np.array_equal(pixels(files), expected)
    assert record["pictures"][0]["request"]["preprocessor"] == "canny"


def test_the_command_line_makes_the_same_pixels_and_a_preset_can_be_named(photo, expected, tmp_path):
    options = ["--preset=01-outlines", "--low-threshold=60", "--high-threshold=150", f"--output={tmp_path / 'out.png'}"]
    done = command(tmp_path, "control-picture", f"--image={photo}", *options)
    assert done.returncode == 0, done.stderr
    assert np.array_equal(pixels([tmp_path / "out.png"]), expected)


def test_the_saved_pictures_own_metadata_makes_it_again(real_engine, photo, expected):
    (saved,) = real_engine.submit(ControlPicture(image=real_engine.inputs.add(photo), **VALUES)).result()
    assert np.array_equal(drawn(real_engine, read_request(saved.path).request), expected)


def test_weights_that_cannot_be_had_end_the_job_with_a_sentence(real_engine, photo):
    with pytest.raises(UserError, match="needs sk_model.pth in .* but the environment says HF_HUB_OFFLINE") as caught:
        real_engine.submit(
            ControlPicture(image=real_engine.inputs.add(photo), preprocessor="lineart-realistic")
        ).result()
    assert (caught.value.code, caught.value.field) == ("E-PREPROCESSOR-MISSING", "preprocessor")


def test_offline_they_are_refused_by_the_command_line_at_once(photo, tmp_path):
    done = command(tmp_path, "--offline", "control-picture", f"--image={photo}", "--preprocessor=mlsd")
    assert done.returncode == 2
    assert done.stderr.endswith("[E-PREPROCESSOR-MISSING]\n") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", REFUSED)
def test_the_command_line_refuses_what_is_no_picture_in_one_line(real_engine, tmp_path, capsys, name):
    content, code, words = REFUSED[name]
    (tmp_path / "picture.png").write_bytes(content)
    assert run_request(real_engine, parse_arguments(["control-picture", f"--image={tmp_path / 'picture.png'}"])) == 2
    told = capsys.readouterr().err
    assert words in told and told.endswith(f"[{code}]\n") and told.count("\n") == 1


@pytest.mark.parametrize("mode", ["L", "LA", "1", "P", "CMYK", "I;16"])
def test_odd_pictures_are_looked_at_and_a_good_job_passes_after_them(real_engine, tmp_path, mode):
    image = house().convert("L").convert("I;16") if mode == "I;16" else house().convert(mode)
    image.save(tmp_path / ("picture.jpg" if mode == "CMYK" else "picture.png"))
    (path,) = tmp_path.iterdir()
    target = tmp_path / "made.png"
    assert run_request(real_engine, parse_arguments(["control-picture", f"--image={path}", f"--output={target}"])) == 0
    assert pixels([target]).shape == (1, 128, 128, 3)


def test_the_command_line_lists_the_preprocessors(tmp_path):
    (tmp_path / "models/annotators").mkdir(parents=True)
    (tmp_path / "models/annotators/netG.pth").write_bytes(b"weights")
    rows = {row["name"]: row for row in json.loads(command(tmp_path, "preprocessors").stdout)}
    assert tuple(rows) == tuple(PREPROCESSORS)
    assert (rows["lineart-anime"]["is_here"], rows["mlsd"]["is_here"]) == (True, False)
