"""The whole program killed and started again: no accepted job and no finished picture is lost."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

from pipelines.engine.store import JobStore
from presets.metadata import read_request
from tests.proxies import free_port
from tests.waiting import wait_until

ROOT = Path(__file__).parent.parent
HOUSE = {"kind": "text-to-image", "prompt": "a red house", "steps": 20, "count": 3}


@contextmanager
def program(home: Path, *options: str) -> Iterator[tuple[subprocess.Popen, httpx.Client]]:
    """`python app.py` over `home` with `options`, and a client of it."""
    port = free_port()
    command = [sys.executable, "app.py", "--home", str(home), "--port", str(port), "--threads", "1", *options]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            wait_until(lambda: answers(client), 120)
            yield process, client
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/health/live").status_code == 200
    except httpx.TransportError:
        return False


def test_jobs_go_on_after_the_program_was_killed(tmp_path: Path):
    with program(tmp_path) as (process, client):
        jobs = [client.post("/api/jobs", json={**HOUSE, "seed": seed}).json()["id"] for seed in (10, 20)]
        wait_until(lambda: client.get(f"/api/jobs/{jobs[0]}").json()["pictures"], 120)
        children = psutil.Process(process.pid).children()
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert not psutil.wait_procs(children, timeout=5)[1], "a worker draws on while its program is gone"
    with program(tmp_path) as (_, client):
        wait_until(lambda: all(client.get(f"/api/jobs/{job}").json()["state"] == "done" for job in jobs), 120)
        pictures = client.get(f"/api/jobs/{jobs[0]}").json()["pictures"]
        assert client.get(pictures[2]["url"]).headers["content-type"] == "image/png"
    seeds = sorted(read_request(path).request.seed for path in (tmp_path / "pictures").rglob("*.png"))
    assert seeds == [10, 11, 12, 20, 21, 22]


def test_told_to_stop_the_program_finishes_the_running_job_and_keeps_the_others(tmp_path: Path):
    with program(tmp_path, "--shutdown-grace", "100") as (process, client):
        job, other = (client.post("/api/jobs", json={**HOUSE, "seed": seed}).json()["id"] for seed in (10, 20))
        wait_until(lambda: client.get(f"/api/jobs/{job}").json()["state"] == "running", 120)
        os.killpg(process.pid, signal.SIGTERM)  # also to the worker, as services are told
        wait_until(lambda: client.get("/health").status_code == 503)
        refused = client.post("/api/jobs", json=HOUSE)
        assert (refused.status_code, refused.json()["code"]) == (503, "E-BUSY")
        ended = client.get(f"/api/jobs/{job}/events").text  # to its last event
        assert ended.count("event: saved") == 3 and "event: finished" in ended
        assert process.wait(60) == 0
    store = JobStore(tmp_path / "jobs" / "1.sqlite")
    assert [job.id for job in store.unfinished(lambda _: None)] == [other]
    assert store.get(job).state == "done"
    store.close()
