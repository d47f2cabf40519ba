"""What another busy process costs a job on the CPU, by how long OpenMP's threads wait busily for each other.

    python -m benchmarks.busy [--rounds 5] [--steps 20] [--busy 1]

Prints JSON: for PyTorch's own way of waiting and for Easel's, the median seconds of a job while the machine is quiet
and while `--busy` other processes compute, and the ratio of the two. Needs two cores or more and an otherwise quiet
machine; on another system than Linux both are the same.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.engine.local import LocalEngine
from pipelines.engine.worker import SPINS
from presets.requests import TextToImage
from presets.settings import Settings

USUAL_SPINS = "300000"
"""What GCC's OpenMP does unless it is told otherwise."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--busy", type=int, default=1)
    options = parser.parse_args()
    request = TextToImage(prompt="a red house by the sea at sunset", steps=options.steps, seed=7)
    ways = {"usual": USUAL_SPINS, "easel": SPINS}
    report = {name: _measured(spins, request, options.rounds, options.busy) for name, spins in ways.items()}
    print(json.dumps(report, indent=2))


def _measured(spins: str, request: TextToImage, rounds: int, busy: int) -> dict[str, float]:
    os.environ["GOMP_SPINCOUNT"] = spins
    with tempfile.TemporaryDirectory() as home:
        engine = LocalEngine(Settings(home=Path(home))).start()
        try:
            engine.submit(request).result()
            quiet = _seconds(engine, request, rounds)
            with _busy(busy):
                beside = _seconds(engine, request, rounds)
        finally:
            engine.close()
    return {"quiet_seconds": round(quiet, 3), "busy_seconds": round(beside, 3), "ratio": round(beside / quiet, 2)}


def _seconds(engine: LocalEngine, request: TextToImage, rounds: int) -> float:
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        engine.submit(request).result()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


@contextmanager
def _busy(count: int) -> Iterator[None]:
    processes = [multiprocessing.get_context("spawn").Process(target=_compute, daemon=True) for _ in range(count)]
    for process in processes:
        process.start()
    time.sleep(1)
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.join()


def _compute() -> None:
    while True:
        sum(range(10_000))


if __name__ == "__main__":
    main()
