"""What drawing waiting jobs at once saves, and how far their pictures are from those drawn alone.

    python -m benchmarks.batching [--jobs 16] [--rounds 3] [--steps 20] [--threads 0]

Prints JSON. As many jobs with their own words and seeds wait for the embedded model, in an engine that draws up to four
at once and in one that never does, in turn. `ratio` is the median of the first's seconds over the second's,
`largest_difference` (of 255) and `different_pixels` are those of its pictures. Goal: a difference of at most 1.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy
from PIL import Image

from pipelines.engine.jobs import Saved
from pipelines.engine.local import LocalEngine
from presets.metadata import read_request
from presets.requests import TextToImage
from presets.settings import Settings

WORDS = ("a red house by the sea", "a blue boat at night", "a green tree on a hill", "a yellow car on a road")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--threads", type=int, default=0, help="of the worker; 0: as many as it decides itself")
    print(json.dumps(measure(parser.parse_args()), indent=2))


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """The report that is printed."""
    words = [WORDS[number % len(WORDS)] for number in range(options.jobs)]
    requests = [TextToImage(prompt=prompt, seed=seed, steps=options.steps) for seed, prompt in enumerate(words)]
    with tempfile.TemporaryDirectory() as folder:
        engines = [
            LocalEngine(Settings(home=Path(folder) / str(limit), threads=options.threads, batch_limit=limit)).start()
            for limit in (4, 1)
        ]
        try:
            rounds = [[_drawn(engine, requests) for engine in engines] for _ in range(options.rounds + 1)][1:]
            together, alone = ([saved for _, saved in pair] for pair in zip(*rounds, strict=True))
            differences = [_difference(*pair) for pair in zip(together[-1], alone[-1], strict=True)]
            batches = [read_request(saved.path) for saved in together[-1]]
        finally:
            for engine in engines:
                engine.close()
    return {
        "jobs": options.jobs,
        "in_batches_of": sorted({found.record.get("batch", 1) for found in batches if found}),
        "together_seconds": round(statistics.median(pair[0][0] for pair in rounds), 3),
        "alone_seconds": round(statistics.median(pair[1][0] for pair in rounds), 3),
        "ratio": round(statistics.median(pair[0][0] / pair[1][0] for pair in rounds), 3),
        "largest_difference": int(max(difference.max() for difference in differences)),
        "different_pixels": int(sum((difference > 0).any(axis=-1).sum() for difference in differences)),
    }


def _drawn(engine: LocalEngine, requests: Sequence[TextToImage]) -> tuple[float, list[Saved]]:
    """Seconds until all of the waiting jobs have ended, and their pictures."""
    began = time.perf_counter()
    jobs = [engine.submit(request) for request in requests]
    pictures = [job.result()[0] for job in jobs]
    return time.perf_counter() - began, pictures


def _difference(one: Saved, other: Saved) -> numpy.ndarray:
    with Image.open(one.path) as first, Image.open(other.path) as second:
        return numpy.abs(numpy.asarray(first, dtype=numpy.int16) - numpy.asarray(second, dtype=numpy.int16))


if __name__ == "__main__":
    main()
