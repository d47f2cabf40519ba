"""The repository as a ZeroGPU Space, with the real package `spaces`. A stand-in are the machines that lend GPUs, and the
GPU itself: a fork that has been let have one draws on the processor."""

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest

from pipelines.engine.jobs import Engine
from presets.requests import TextToImage
from tests.lent_gpus import LentGpus, lent_gpus
from tests.pixels import drawn, pixels
from tests.proxies import free_port
from tests.test_restart import answers as lives
from tests.waiting import wait_until

ROOT = Path(__file__).parent.parent
PROGRAM = """
import sys
import spaces.zero.torch
spaces.zero.torch.init = spaces.zero.torch.move = lambda *_, **__: None  # what needs a card: there is none here
import app
sys.exit(app.main())
"""
HOUSE = {"kind": "text-to-image", "prompt": "a red house", "steps": 4, "seed": 7}
LONG = {**HOUSE, "steps": 150, "width": 256, "height": 256}
CLAIMS = base64.urlsafe_b64encode(json.dumps({"user": "ann"}).encode()).decode().rstrip("=")
TOKEN = f"head.{CLAIMS}.a-secret-signature"
ANN = {"authorization": "Bearer ann-0123456789-0123456789", "x-ip-token": TOKEN}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("zero")


@pytest.fixture(scope="module")
def lending() -> Iterator[tuple[LentGpus, str]]:
    with lent_gpus() as lending:
        yield lending


@pytest.fixture(scope="module")
def program(folder: Path, lending: tuple[LentGpus, str]) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The program in the environment of a ZeroGPU Space, and its port. What it says goes to `log`."""
    pytest.importorskip("spaces")
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "SYSTEM": "spaces",
        "SPACE_ID": "owner/easel",
        "SPACES_ZERO_GPU": "true",
        "SPACES_ZERO_DEVICE_API_URL": lending[1],
        "GRADIO_SERVER_PORT": str(port),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "EASEL_HOME": str(folder / "home"),
        "EASEL_THREADS": "1",
        "EASEL_MANAGE_MODELS": "true",
    }
    with (folder / "log").open("wb") as log:
        command = [sys.executable, "-c", PROGRAM]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield process, port
        finally:
            process.kill()
            process.wait(60)


@pytest.fixture(scope="module")
def gpus(lending: tuple[LentGpus, str]) -> LentGpus:
    return lending[0]


@pytest.fixture(scope="module")
def ann(program: tuple[subprocess.Popen[bytes], int]) -> Iterator[httpx.Client]:
    """A visitor, as the Hub's proxy hands her requests on."""
    with httpx.Client(base_url=f"http://127.0.0.1:{program[1]}", timeout=100, headers=ANN) as client:
        wait_until(lambda: lives(client), 120)
        yield client


@pytest.fixture(scope="module")
def house(real_engine: Engine) -> np.ndarray:
    """The pixels of `HOUSE` as the ordinary worker draws it."""
    return drawn(real_engine, TextToImage(**{name: value for name, value in HOUSE.items() if name != "kind"}))


def draw(client: httpx.Client, folder: Path) -> np.ndarray:
    """The pixels of `HOUSE` as it is drawn now."""
    job = client.post("/api/jobs?wait=90", json=HOUSE).json()
    assert job["state"] == "done", job
    (folder / "drawn.png").write_bytes(client.get(job["pictures"][0]["url"]).content)
    return pixels([folder / "drawn.png"])


def begin(client: httpx.Client) -> str:
    """The identifier of a long job that is being drawn."""
    job = client.post("/api/jobs", json=LONG).json()["id"]
    wait_until(lambda: '"step":' in last_line(client, job), 60)
    return job


def last_line(client: httpx.Client, job: str) -> str:
    return json.dumps(client.get(f"/api/jobs/{job}").json())


def test_a_visitor_draws_what_the_ordinary_worker_does(ann: httpx.Client, gpus: LentGpus, folder: Path, house):
    assert np.array_equal(draw(ann, folder), house)
    (asked,) = gpus.of("/schedule")
    assert asked["token"] == TOKEN
    assert 15 <= int(asked["durationSeconds"]) <= 20
    assert [path for path, _ in gpus.asked] == ["/startup-report", "/schedule", "/allow", "/release"]
    assert len(ann.get("/api/pictures").json()["pictures"]) == 1
