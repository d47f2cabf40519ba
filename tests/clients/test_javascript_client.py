"""The endpoint through @gradio/client, in Node. Needs node and npm; the client is fetched once."""

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from pipelines.engine.jobs import Stopped
from tests.fake_engine import FakeEngine
from tests.served import served

FOLDER = Path(__file__).parent


@pytest.fixture(scope="module")
def node() -> str:
    program, npm = shutil.which("node"), shutil.which("npm")
    if not program or not npm:
        pytest.skip("node and npm are needed for the JavaScript client")
    if not (FOLDER / "node_modules" / "@gradio" / "client").is_dir():
        install = [npm, "install", "--no-audit", "--no-fund", "--no-package-lock"]
        done = subprocess.run(install, cwd=FOLDER, capture_output=True, text=True, timeout=120)
        if done.returncode:
            pytest.skip(f"npm could not install @gradio/client: {done.stderr[-200:]}")
    return program


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> FakeEngine:
    return FakeEngine(tmp_path_factory.mktemp("pictures"), step_seconds=0.02)


@pytest.fixture(scope="module")
def report(node: str, engine: FakeEngine) -> dict:
    with served(engine, engine.folder) as address:
        command = [node, str(FOLDER / "client.mjs"), address]
        done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=60)
        deadline = time.monotonic() + 5
        while not all(job.done for job in engine.submitted) and time.monotonic() < deadline:
            time.sleep(0.02)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_named_parameters_make_the_pictures_asked_for(report: dict):
    assert (report["state"], report["seeds"]) == ("finished", [7, 8])


def test_only_the_public_endpoint_is_seen(report: dict):
    assert report["endpoints"] == ["/text_to_image"]


def test_the_picture_can_be_fetched_unchanged(report: dict, engine: FakeEngine):
    saved = engine.submitted[0].saved[0].path
    assert (report["type"], report["bytes"]) == ("image/png", saved.stat().st_size)


def test_a_wrong_value_is_refused_by_name(report: dict):
    assert "Steps cannot be 0" in report["refusal"]
    assert "E-STEPS" in report["refusal"]


def test_cancel_ends_the_engines_job(report: dict, engine: FakeEngine):
    assert report["cancelled"] == "progress"
    assert isinstance(list(engine.submitted[-1].events())[-1], Stopped)
