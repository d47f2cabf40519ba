"""One request, every door: the engine itself, the page's endpoint, the command line, and a saved picture's metadata.

(The JavaScript client is in tests/clients, a restart in tests/pipelines/test_local.py.)
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from presets.metadata import read_request
from presets.requests import TextToImage
from tests.pixels import drawn, pixels

ROOT = Path(__file__).parent.parent
REQUEST = TextToImage(
    prompt="a (red:1.2) house by the sea at sunset",
    negative_prompt="a boat",
    steps=4,
    seed=7,
    count=2,
    sampler="Euler a",
    schedule="exponential",
)
VALUES = REQUEST.model_dump(exclude={"kind"}, exclude_unset=True)


@pytest.fixture(scope="module")
def expected(real_engine) -> np.ndarray:
    return drawn(real_engine, REQUEST)


def command(home: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """`python app.py text-to-image ...` as somebody types it."""
    line = [sys.executable, "app.py", "--home", str(home), "--threads", "1", "text-to-image", *more]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, errors="surrogateescape", check=False)


@pytest.fixture(scope="module")
def from_the_command_line(tmp_path_factory) -> tuple[list[Path], dict]:
    """The pictures copied to --output, and what --json printed."""
    folder = tmp_path_factory.mktemp("command")
    options = [f"--{name.replace('_', '-')}={value}" for name, value in VALUES.items()]
    done = command(folder / "home", *options, "--json", "--output", str(folder / "house.png"))
    assert done.returncode == 0, done.stderr
    return [folder / "house-1.png", folder / "house-2.png"], json.loads(done.stdout)


def test_the_two_pictures_of_the_request_differ(expected):
    assert not np.array_equal(expected[0], expected[1])


def test_the_pages_endpoint_draws_the_same_pixels(real_client, expected):
    files, record = real_client.predict(**VALUES, api_name="/text_to_image")
    assert record["state"] == "finished"
    assert np.array_equal(pixels(files), expected)


def test_the_command_line_draws_the_same_pixels(from_the_command_line, expected):
    assert np.array_equal(pixels(from_the_command_line[0]), expected)


def test_the_command_lines_record_is_the_request_inside_its_pictures(from_the_command_line):
    paths, record = from_the_command_line
    inside = [read_request(path).request for path in paths]
    assert [picture["path"] for picture in record["pictures"]] == [str(path) for path in paths]
    assert [TextToImage(**picture["request"]) for picture in record["pictures"]] == inside
    assert [TextToImage(**record["request"]).picture(index) for index in (0, 1)] == inside


def test_a_saved_pictures_own_metadata_draws_it_again(from_the_command_line, real_engine, expected):
    for path, original in zip(from_the_command_line[0], expected, strict=True):
        assert np.array_equal(drawn(real_engine, read_request(path).request)[0], original)


def test_a_bad_value_on_the_command_line_is_one_sentence_and_exit_code_2(tmp_path):
    done = command(tmp_path, "--prompt", "\udcff")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("easel: Prompt") and done.stderr.endswith("[E-TEXT-ENCODING]\n")
    assert done.stderr.count("\n") == 1
