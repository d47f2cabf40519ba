"""The endpoint through @gradio/client, in Node."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from pipelines.engine.jobs import Engine
from presets.drawing import Drawing
from presets.metadata import read_request
from presets.requests import KINDS, TextToImage
from presets.settings import Settings
from tests.javascript import FOLDER, node
from tests.pixels import drawn, pixels

LONG_STEPS = 149
"""Of the job that `client.mjs` cancels, and of no other test's."""


@pytest.fixture(scope="module")
def report(real_address: str) -> dict:
    command = [node(), str(FOLDER / "client.mjs"), real_address]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def saved(report: dict, settings: Settings) -> list[Path]:
    """The files of the pictures that the client was given."""
    return [next(settings.pictures.rglob(picture["file"])) for picture in report["pictures"]]


def test_named_parameters_make_the_pictures_asked_for(report: dict):
    seeds = [picture["request"]["seed"] for picture in report["pictures"]]
    assert (report["state"], seeds) == ("finished", [7, 8])


def test_the_pictures_have_the_pixels_that_any_other_door_draws(report: dict, saved: list[Path], real_engine: Engine):
    request = TextToImage(**report["pictures"][0]["request"]).model_copy(update={"count": 2})
    assert np.array_equal(pixels(saved), drawn(real_engine, request))


def test_only_the_public_endpoints_are_seen(report: dict):
    kinds = [f"/{kind.replace('-', '_')}" for kind in KINDS]
    assert sorted(report["endpoints"]) == sorted([*kinds, "/models", "/picture_info", "/preprocessors", "/presets"])


def test_the_picture_can_be_fetched_unchanged(report: dict, saved: list[Path]):
    assert (report["type"], report["bytes"]) == ("image/png", saved[0].stat().st_size)


def test_a_wrong_value_is_refused_by_name(report: dict):
    assert "Steps cannot be 0" in report["refusal"]
    assert "E-STEPS" in report["refusal"]


def test_cancel_ends_the_engines_job(report: dict, real_engine: Engine, settings: Settings):
    real_engine.submit(TextToImage(prompt="", steps=1)).result()
    made = [read_request(path).request for path in settings.pictures.rglob("*.png")]
    assert report["cancelled"] == "progress"
    assert LONG_STEPS not in {request.steps for request in made if isinstance(request, Drawing)}
