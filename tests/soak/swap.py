"""Checkpoints and LoRAs switched under load: the worker's memory stays as it is, and pictures are what they always are.

    python -m tests.soak.swap [--jobs 500] [--seed 0]

Prints JSON. Four people always have jobs waiting in one engine, each with one of four checkpoints and six LoRAs or
none, in memory for two. `switches` counts the jobs that had another checkpoint or LoRA than the one before,
`from_disk` those that had to be read; `different` are pictures that are not the ones of an engine that has room for
all and draws them one by one (goal 0); `resident_bytes` is the worker's resident set, the median of each tenth of the
jobs, `slope_bytes` is by how much the worker's resident set grows in 100 jobs (least
squares over the second half; goal: under 1 MB).
"""

import argparse
import hashlib
import json
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy
import psutil
from PIL import Image

from pipelines.engine.jobs import Job
from pipelines.engine.local import LocalEngine
from presets.drawing import LoraUse
from presets.metadata import read_request
from presets.requests import TextToImage
from presets.settings import Settings
from tests.checkpoints import save_folder, tiny_sd1
from tests.loras import of_sd1, save_lora
from tests.waiting import workers

NAMES = ("a", "b", "c", "d")
LORAS = ("", "ink", "wool", "chalk", "neon", "clay", "lace")
PEOPLE = 4
WAITING = 3
"""Jobs of each that wait."""
ROOM = 2.4
"""In checkpoints, LoRAs and copies of weights included."""

Choice = tuple[str, str]
"""A checkpoint and a LoRA."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        print(json.dumps(_soak(Path(home), options), indent=2))


def _soak(home: Path, options: argparse.Namespace) -> dict[str, Any]:
    for seed, name in enumerate(NAMES):
        save_folder(tiny_sd1(seed), home / "models/checkpoints" / name)
    for seed, name in enumerate(filter(None, LORAS)):
        save_lora(home / "models", name, of_sd1(tiny_sd1(100 + seed)))
    expected, budget = _references(home)
    engine = LocalEngine(Settings(home=home, threads=1, memory_budget=budget, device="cpu", batch_limit=1)).start()
    try:
        ended, sizes = _under_load(engine, random.Random(options.seed), options.jobs)
    finally:
        engine.close()
    choices = [_choice(job) for job in sorted(ended, key=lambda job: job.started or 0)]
    hows = [_record(job)["switch"]["how"] for job in ended]
    return {
        "jobs": len(ended),
        "switches": sum(choice != before for choice, before in zip(choices[1:], choices, strict=False)),
        "from_disk": hows.count("from disk"),
        "different": sum(_digest(job) != expected[_choice(job)] for job in ended),
        "resident_bytes": [round(numpy.median(tenth)) for tenth in numpy.array_split(sizes, 10)],
        "slope_bytes": round(float(numpy.polyfit(range(len(sizes) // 2), sizes[-(len(sizes) // 2) :], 1)[0]) * 100),
    }


def _request(choice: Choice) -> TextToImage:
    name, lora = choice
    loras = (LoraUse(name=lora, strength=0.8),) if lora else ()
    return TextToImage(prompt="a cat", checkpoint=name, loras=loras, steps=2, seed=3, width=64, height=64)


def _choice(job: Job) -> Choice:
    assert isinstance(job.request, TextToImage)
    return job.request.checkpoint, job.request.loras[0].name if job.request.loras else ""


def _references(home: Path) -> tuple[dict[Choice, str], int]:
    """What each choice draws, and the bytes that a budget for two checkpoints has."""
    engine = LocalEngine(Settings(home=home, threads=1, device="cpu", batch_limit=1)).start()
    try:
        expected = {}
        for choice in ((name, lora) for name in NAMES for lora in LORAS):
            job = engine.submit(_request(choice))
            job.result()
            expected[choice] = _digest(job)
        return expected, round(ROOM * max(resident.bytes for resident in engine.memory().residents))
    finally:
        engine.close()


def _under_load(engine: LocalEngine, chance: random.Random, count: int) -> tuple[list[Job], list[int]]:
    """The jobs, which have ended, and the worker's resident set as each did."""
    waiting: list[Job] = []
    ended: list[Job] = []
    sizes: list[int] = []
    while len(ended) < count:
        for person in map(str, range(PEOPLE)):
            while len(ended) + len(waiting) < count and sum(job.owner == person for job in waiting) < WAITING:
                choice = chance.choice(NAMES), chance.choice(LORAS)
                waiting.append(engine.submit(_request(choice), owner=person))
        for job in [job for job in waiting if job.done]:
            job.result()
            waiting.remove(job)
            ended.append(job)
            sizes.append(_resident_bytes())
        time.sleep(0.005)
    return ended, sizes


def _resident_bytes() -> int:
    (worker,) = workers()
    return psutil.Process(worker.pid).memory_info().rss


def _record(job: Job) -> Any:
    found = read_request(job.saved[0].path)
    assert found is not None
    return found.record


def _digest(job: Job) -> str:
    with Image.open(job.saved[0].path) as image:
        return hashlib.sha256(image.tobytes()).hexdigest()


if __name__ == "__main__":
    main()
