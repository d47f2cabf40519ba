"""Jobs cancelled, and left by those who wait, at random moments: the device is free soon, the next job draws the same.

    python -m tests.soak.cancel [--count 200] [--seed 0] [--ways engine http ...]

Prints JSON. A page is served on loopback over the real engine and its worker process; long jobs (two checkpoints, with
and without a LoRA, an upscaler) are ended in turn by the engine itself, by DELETE over HTTP, by the Python client's
`job.cancel()`, by a client whose process is killed, and by a browser that only watched and goes away (with
`left_jobs=cancel`, whose patience and the time until the next look are allowed for; so they are where a client is
killed before it listens). Per way: `free_p50` and
`free_max`, the seconds from there until the worker had nothing to do, `late` those over a second and the longest step
(goal 0), `next_same` of `count` (goal: all).
"""

import argparse
import hashlib
import json
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from pipelines.engine.jobs import Job, Progress
from pipelines.engine.local import TICK_SECONDS, LocalEngine
from pipelines.engine.store import open_store
from presets.drawing import LoraUse
from presets.requests import AnyRequest, TextToImage
from presets.settings import Settings
from presets.upscale import Upscale
from tests.checkpoints import save_folder, tiny_sd1
from tests.loras import of_sd1, save_lora
from tests.served import served
from tests.soak.programs import ROOT, SECRET
from tests.upscalers import save_upscaler, tiny_compact

LONGEST = 30.0
"""Seconds that a job which was ended may go on before the engine is told."""
PATIENCE = 0.5
"""Seconds that a job may be watched by nobody."""
ALLOWED = 1.0
"""Seconds over a step."""
CLIENT = """
import sys
from gradio_client import Client
client = Client(sys.argv[1], verbose=False, analytics_enabled=False)
print("begun", flush=True)
for line in sys.stdin:
    if line.strip() == "draw":
        long = {"prompt": "a cat", "checkpoint": "a", "steps": 150, "width": 96, "height": 96, "seed": 3}
        job = client.submit(**long, api_name="/text_to_image")
    else:
        job.cancel()
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), help="those alone (default all)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        studio = Studio(Path(home), random.Random(options.seed))
        try:
            ways = {name: studio.soak(WAYS[name], -(-options.count // len(WAYS))) for name in options.ways}
        finally:
            studio.close()
    print(json.dumps(ways, indent=2))


class Studio:
    """A served page over an engine of its own, and what its short requests draw where nobody cancels."""

    def __init__(self, home: Path, chance: random.Random):
        for seed, name in enumerate(("a", "b")):
            save_folder(tiny_sd1(seed), home / "models/checkpoints" / name)
        save_lora(home / "models", "ink", of_sd1(tiny_sd1(100)))
        save_upscaler(tiny_compact(2), home / "models/upscalers/twice.safetensors")
        settings = Settings(home=home, threads=1, left_jobs="cancel", patience=PATIENCE, batch_limit=1)
        self.chance = chance
        self.engine = LocalEngine(settings, store=open_store(settings.jobs)).start()
        self._serving = served(self.engine, settings.pictures, settings)
        self.address = self._serving.__enter__()
        self.client: _Client | None = None
        self._short = self._requests(steps=3, side=64)
        self._long = self._requests(steps=150, side=96)
        self._expected = {name: self._drawn(name) for name in self._short}

    def close(self) -> None:
        if self.client is not None:
            self.client.end()
        self._serving.__exit__(None, None, None)
        self.engine.close()

    def _requests(self, steps: int, side: int) -> dict[str, AnyRequest]:
        plain = TextToImage(prompt="a cat", checkpoint="a", steps=steps, seed=5, width=side, height=side)
        given = self.engine.inputs.keep(Image.effect_noise((2 * side, 2 * side), 80).convert("RGB"))
        return {
            "plain": plain,
            "other": plain.model_copy(update={"checkpoint": "b", "prompt": "a dog"}),
            "lora": plain.model_copy(update={"loras": (LoraUse(name="ink", strength=0.8),)}),
            "upscale": Upscale(image=given, upscaler="twice", factor=8, tile=64, overlap=16),
        }

    def long_request(self) -> AnyRequest:
        return self.chance.choice(list(self._long.values()))

    def wait_for_a_moment(self) -> None:
        time.sleep(self.chance.uniform(0, 2.5))

    def _drawn(self, name: str) -> str:
        """A digest of its pixels."""
        digest = hashlib.sha256()
        for saved in self.engine.submit(self._short[name]).result():
            with Image.open(saved.path) as image:
                digest.update(image.tobytes())
        return digest.hexdigest()

    def _wait_until_free(self) -> None:
        """What does not end by itself is ended here."""
        end = time.monotonic() + LONGEST
        while self.engine.status().state == "busy":
            if time.monotonic() > end and (job := self.engine._ledger.current):
                job.cancel()
            time.sleep(0.005)

    def soak(self, way: "Way", count: int) -> dict[str, Any]:
        seconds, late, same = [], 0, 0
        for _ in range(count):
            began, job, patience = way(self)
            self._wait_until_free()
            seconds.append(time.monotonic() - began)
            late += seconds[-1] > _longest_step(job) + patience + ALLOWED
            following = self.chance.choice(list(self._short))
            same += self._drawn(following) == self._expected[following]
        return {
            "count": count,
            "free_p50": round(statistics.median(seconds), 3),
            "free_max": round(max(seconds), 3),
            "late": late,
            "next_same": same,
        }


Way = Callable[[Studio], tuple[float, Job, float]]
"""Begins a job and ends it; when that was, by the monotonic clock, the job, and the seconds that it may be left for."""


def _longest_step(job: Job) -> float:
    ends = [0.0, *(event.seconds for event in job._events if isinstance(event, Progress))]
    return max((end - begin for begin, end in pairwise(ends)), default=0.0)


def by_engine(studio: Studio) -> tuple[float, Job, float]:
    job = studio.engine.submit(studio.long_request())
    studio.wait_for_a_moment()
    began = time.monotonic()
    job.cancel()
    return began, job, 0.0


def by_http(studio: Studio) -> tuple[float, Job, float]:
    with httpx.Client(base_url=studio.address, headers=SECRET, timeout=60) as client:
        answer = client.post("/api/jobs", json=studio.long_request().model_dump(mode="json"))
        identifier = answer.json()["id"]
        studio.wait_for_a_moment()
        began = time.monotonic()
        client.delete(f"/api/jobs/{identifier}")
    return began, _known(studio, identifier), 0.0


def by_leaving(studio: Studio) -> tuple[float, Job, float]:
    """Who watched the job's events hangs up."""
    with httpx.Client(base_url=studio.address, headers=SECRET, timeout=60) as client:
        body = studio.long_request().model_dump(mode="json")
        identifier = client.post("/api/jobs?kept=false", json=body).json()["id"]
        with client.stream("GET", f"/api/jobs/{identifier}/events") as stream:
            reader = threading.Thread(target=_read, args=(stream,), daemon=True)
            reader.start()
            studio.wait_for_a_moment()
            began = time.monotonic()
            connection = stream.extensions["network_stream"].get_extra_info("socket")
            connection.shutdown(socket.SHUT_RDWR)  # else it stands for as long as the thread waits for the next event
    return began, _known(studio, identifier), PATIENCE + TICK_SECONDS


def _read(stream: httpx.Response) -> None:
    try:
        for _ in stream.iter_lines():
            pass
    except (httpx.HTTPError, RuntimeError, ValueError):
        return  # it was hung up


def _known(studio: Studio, identifier: str) -> Job:
    job = studio.engine.job(identifier)
    assert job is not None
    return job


class _Client:
    """Gradio's Python client in a process of its own."""

    def __init__(self, studio: Studio):
        command = [sys.executable, "-c", CLIENT, studio.address]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdout.readline()
        self._studio = studio

    def draw(self) -> Job:
        """Have a job begun."""
        self.tell("draw")
        while (job := self._studio.engine._ledger.current) is None:
            time.sleep(0.005)
        return job

    def tell(self, word: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


def by_client(studio: Studio) -> tuple[float, Job, float]:
    client = studio.client = studio.client or _Client(studio)
    job = client.draw()
    studio.wait_for_a_moment()
    began = time.monotonic()
    client.tell("cancel")
    return began, job, 0.0


def by_death_of_client(studio: Studio) -> tuple[float, Job, float]:
    client = _Client(studio)
    job = client.draw()
    studio.wait_for_a_moment()
    patience = 0.0 if job.is_watched else PATIENCE + TICK_SECONDS  # it died before it listened
    began = time.monotonic()
    client.end()
    return began, job, patience


WAYS: dict[str, Way] = {
    "engine": by_engine,
    "http": by_http,
    "leaving": by_leaving,
    "client": by_client,
    "death_of_client": by_death_of_client,
}


if __name__ == "__main__":
    main()
