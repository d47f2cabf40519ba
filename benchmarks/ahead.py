"""What reading the next checkpoint ahead costs the job that is running, and what it saves the next one.

    python -m benchmarks.ahead [--rounds 5] [--steps 60] [--small]

Prints JSON. A job of the embedded model is drawn while a checkpoint of Stable Diffusion 1.5's size (one file of 2.1 GB,
which the system was asked to forget) is read ahead, between two jobs alone. `ratio` is the median of its seconds over
the mean of the two beside it; `control` that of the second alone over the first, so that it tells with `scatter` (the
middle half of the controls, from and to) how much such ratios scatter here; `read_bytes` how much of the file was in
the system's memory when the job had ended. Goal: a `ratio` of at most 1.02.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.switch import forget, save_checkpoint
from pipelines.engine.local import LocalEngine
from presets.requests import TextToImage
from presets.settings import Settings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        path = Path(home) / "models" / "checkpoints" / "next.safetensors"
        save_checkpoint(path, options.small)
        engine = LocalEngine(Settings(home=Path(home), preview_interval=0.0)).start()
        try:
            print(json.dumps(_measure(engine, path, options), indent=2))
        finally:
            engine.close()


def _measure(engine: LocalEngine, path: Path, options: argparse.Namespace) -> dict[str, Any]:
    request = TextToImage(prompt="a red house by the sea at sunset", steps=options.steps, seed=7)
    engine.submit(request).result()
    ratios, controls, read = [], [], []
    alone = _seconds(engine, request)
    for _ in range(options.rounds):
        forget(path)
        engine.read_ahead("next")
        beside = _seconds(engine, request)
        read.append(_in_memory(path))
        _wait_until_read(path)
        forget(path)
        before, alone = alone, _seconds(engine, request)
        ratios.append(2 * beside / (before + alone))
        controls.append(alone / before)
    quarter = len(controls) // 4
    return {
        "file_bytes": path.stat().st_size,
        "read_bytes": int(statistics.median(read)),
        "job_seconds": round(alone, 3),
        "ratio": round(statistics.median(ratios), 4),
        "ratios": [round(ratio, 4) for ratio in ratios],
        "control": round(statistics.median(controls), 4),
        "scatter": [round(sorted(controls)[at], 4) for at in (quarter, -1 - quarter)],
    }


def _seconds(engine: LocalEngine, request: TextToImage) -> float:
    began = time.perf_counter()
    engine.submit(request).result()
    return time.perf_counter() - began


def _wait_until_read(path: Path) -> None:
    """Without a job the rest is read at full speed; it must not go on into the next one."""
    ended = time.monotonic() + 60
    while _in_memory(path) < path.stat().st_size and time.monotonic() < ended:
        time.sleep(0.2)


def _in_memory(path: Path) -> int:
    """Bytes of the file that the system holds, by its `fincore`."""
    listed = subprocess.run(["fincore", "-b", "-n", "-o", "RES", str(path)], capture_output=True, text=True, check=True)
    return int(listed.stdout)


if __name__ == "__main__":
    main()
