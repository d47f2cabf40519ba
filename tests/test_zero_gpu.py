"""The program as on a ZeroGPU Space, with the real package `spaces`. Stand-ins are what lends GPUs, and the GPU itself:
a fork that was lent one draws on the processor."""

import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


def told(client: httpx.Client, job: str) -> dict[str, Any]:
    return client.get(f"/api/jobs/{job}").json()


def begun(client: httpx.Client) -> str:
    """The identifier of a long job that is being drawn."""
    job = client.post("/api/jobs", json=LONG).json()["id"]
    wait_until(lambda: told(client, job)["progress"], 60)
    return job


def test_a_visitor_draws_what_the_ordinary_worker_does(ann: httpx.Client, gpus: LentGpus, folder: Path, house):
    assert np.array_equal(draw(ann, folder), house)
    (asked,) = gpus.of("/schedule")
    assert asked["token"] == TOKEN
    assert 15 <= int(asked["durationSeconds"]) <= 20
    assert len(ann.get("/api/pictures").json()["pictures"]) == 1  # hers, as the gallery knows


def test_a_fork_draws_the_next_job_too_while_it_has_its_gpu(ann, gpus: LentGpus, folder: Path, house):
    (first,) = gpus.forks
    assert np.array_equal(draw(ann, folder), house) and gpus.forks == [first]
    gpus.idle = False
    assert np.array_equal(draw(ann, folder), house) and len(set(gpus.forks)) == 2
    gpus.idle = True


def test_gradios_endpoint_takes_the_visitors_quota_too(ann: httpx.Client, gpus: LentGpus):
    values = {"prompt": "a boat", "steps": 1}
    call = ann.post("/gradio_api/call/v2/text_to_image", json=values, headers={"x-ip-token": f"{TOKEN}-2"})
    assert "event: complete" in ann.get(f"/gradio_api/call/text_to_image/{call.json()['event_id']}").text
    assert gpus.of("/schedule")[-1]["token"] == f"{TOKEN}-2"


def test_cancel_ends_a_job_within_a_step_and_the_next_one_draws_right(ann, gpus: LentGpus, folder: Path, house):
    job, forks = begun(ann), gpus.forks
    ann.delete(f"/api/jobs/{job}")
    wait_until(lambda: told(ann, job)["state"] == "cancelled", 5)
    assert np.array_equal(draw(ann, folder), house) and gpus.forks == forks


def test_a_job_that_waits_for_a_gpu_says_so_and_can_be_cancelled(ann: httpx.Client, gpus: LentGpus):
    gpus.waiting.set()
    job = ann.post("/api/jobs", json=HOUSE).json()["id"]
    with ann.stream("GET", f"/api/jobs/{job}/events") as events:
        assert any("Waiting for a GPU to become available" in line for line in events.iter_lines())
    ann.delete(f"/api/jobs/{job}")
    wait_until(lambda: told(ann, job)["state"] == "cancelled", 5)
    gpus.waiting.clear()


def test_a_visitor_without_quota_is_told_so(ann: httpx.Client, gpus: LentGpus):
    gpus.over_quota = True
    job = ann.post("/api/jobs?wait=60", json=HOUSE).json()
    gpus.over_quota = False
    assert (job["state"], job["error"]["code"]) == ("failed", "E-GPU-QUOTA")
    assert "You have exceeded your free ZeroGPU quota" in job["error"]["message"]
    assert "23s left). Try again in 0:12:33." in job["error"]["message"]


def test_a_job_whose_fork_is_ended_is_begun_once_more_and_then_told(ann, gpus: LentGpus, folder: Path, house):
    job = begun(ann)
    os.kill(first := gpus.forks[-1], signal.SIGKILL)
    wait_until(lambda: gpus.forks[-1] != first and told(ann, job)["progress"], 30)
    os.kill(gpus.forks[-1], signal.SIGKILL)
    wait_until(lambda: told(ann, job)["state"] == "failed", 30)
    assert told(ann, job)["error"]["code"] == "E-WORKER"
    assert "ZeroGPU ended this job" in told(ann, job)["error"]["message"]
    assert np.array_equal(draw(ann, folder), house)


def test_tokens_are_in_no_file_and_not_in_what_the_program_says(ann: httpx.Client, folder: Path):  # noqa: ARG001
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert {"log", "1.sqlite"} <= {file.name for file in files}
    assert [file for file in files if b"a-secret-signature" in file.read_bytes()] == []


def test_forks_end_with_the_program_whatever_ends_it(program: tuple[subprocess.Popen[bytes], int], gpus: LentGpus):
    fork = psutil.Process(gpus.forks[-1])
    program[0].kill()
    assert not psutil.wait_procs([fork], timeout=20)[1]
