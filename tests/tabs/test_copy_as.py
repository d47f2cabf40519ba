"""What "Copy as" shows is run as it stands, and gives the same pixels."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from presets.drawing import LoraUse
from presets.requests import AnyRequest, ImageToImage, TextToImage
from tabs.copy_as import snippets
from tests.javascript import printed
from tests.pixels import pixels

ROOT = Path(__file__).parent.parent.parent
PROMPT = 'a "red" house, it\'s $HOME by the `sea` \\ 10% é'


@pytest.fixture(scope="module", params=["text-to-image", "image-to-image"])
def request_shown(request, real_engine) -> AnyRequest:
    """Of a picture that was made: a resolved request."""
    wanted = TextToImage(prompt=PROMPT, steps=3, seed=7, sampler="Euler a")
    if request.param == "image-to-image":
        image = real_engine.inputs.keep(Image.new("RGB", (128, 128), "teal"))
        wanted = ImageToImage(prompt=PROMPT, steps=4, seed=7, image=image, resize_mode="fill")
    return real_engine.submit(wanted).result()[0].request


@pytest.fixture(scope="module")
def expected(request_shown: AnyRequest, real_engine) -> np.ndarray:
    return pixels(saved.path for saved in real_engine.submit(request_shown).result())


def run(command: list[str], **options) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_python_client_gives_the_same_pixels(request_shown, expected, real_address, tmp_path):
    code = snippets(request_shown, real_address)["Python"]
    paths = run([sys.executable, "-c", code], cwd=tmp_path).splitlines()[-1]
    assert np.array_equal(pixels(json.loads(paths.replace("'", '"'))), expected)


def test_curl_gives_the_same_pixels(request_shown, expected, real_address, tmp_path):
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    job = json.loads(run(["sh", "-c", snippets(request_shown, real_address)["curl"]]))
    (tmp_path / "x.png").write_bytes(httpx.get(f"{real_address[:-1]}{job['pictures'][0]['url']}").content)
    assert np.array_equal(pixels([tmp_path / "x.png"]), expected)


def test_the_command_line_gives_the_same_pixels(request_shown, expected, settings, tmp_path):
    code = snippets(request_shown, "")["Command line"].replace("python app.py", f"{sys.executable} {ROOT / 'app.py'}")
    run(["sh", "-c", code], cwd=tmp_path, env={**os.environ, "EASEL_HOME": str(settings.home), "EASEL_THREADS": "1"})
    assert np.array_equal(pixels([tmp_path / "picture.png"]), expected)


def test_the_javascript_client_gives_the_same_pixels(request_shown, expected, real_address, tmp_path):
    (address,) = re.findall(r"https?://[^'\"\s]+", printed(snippets(request_shown, real_address)["JavaScript"]))
    (tmp_path / "x.png").write_bytes(httpx.get(address).content)
    assert np.array_equal(pixels([tmp_path / "x.png"]), expected)


def test_only_what_differs_from_the_defaults_is_written():
    code = snippets(TextToImage(prompt="a boat", seed=7), "http://here/")["Command line"]
    assert shlex.split(code) == [
        "python",
        "app.py",
        "text-to-image",
        "--prompt=a boat",
        "--seed=7",
        "--output=picture.png",
    ]


def test_loras_and_styles_stand_on_the_command_line_as_it_reads_them():
    from tabs.command_line import parse_arguments

    uses = (LoraUse(name="ink"), LoraUse(name="style/wool: thick", strength=0.5, text_encoder_strength=0.25))
    wanted = TextToImage(prompt="-x", loras=uses, styles=("Watercolour",), guidance_end=0.5)
    arguments = parse_arguments(shlex.split(snippets(wanted, "")["Command line"])[2:])
    assert TextToImage(**arguments.values) == wanted
