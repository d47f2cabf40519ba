"""What reading the next checkpoint ahead costs the job that is running, and what it saves the next one.

    python -m benchmarks.ahead [--rounds 5] [--steps 60] [--small]

Prints JSON. A job of the embedded model is drawn, alone and while a checkpoint of Stable Diffusion 1.5's size (one file
of 2.1 GB, which the system was asked to forget) is read ahead, in turn. `ratio` is the median of the second's seconds
over the first's, `read_bytes` how much of the file was in the system's memory when the job had ended. Goal: at most
1.02.
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
    pairs, read = [], []
    for _ in range(options.rounds):
        alone = _seconds(engine, request)
        forget(path)
        engine.read_ahead("next")
        beside = _seconds(engine, request)
        read.append(_in_memory(path))
        forget(path)
        pairs.append((alone, beside))
        time.sleep(1)
    return {
        "file_bytes": path.stat().st_size,
        "read_bytes": int(statistics.median(read)),
        "alone_seconds": round(statistics.median(alone for alone, _ in pairs), 3),
        "beside_seconds": round(statistics.median(beside for _, beside in pairs), 3),
        "ratio": round(statistics.median(beside / alone for alone, beside in pairs), 4),
    }


def _seconds(engine: LocalEngine, request: TextToImage) -> float:
    began = time.perf_counter()
    engine.submit(request).result()
    return time.perf_counter() - began


def _in_memory(path: Path) -> int:
    """Bytes of the file that the system holds, by its `fincore`."""
    listed = subprocess.run(["fincore", "-b", "-n", "-o", "RES", str(path)], capture_output=True, text=True, check=True)
    return int(listed.stdout)


if __name__ == "__main__":
    main()
