"""What a job through the engine costs beside the raw diffusers pipeline: same weights, precision, steps, size, seed.

    python -m benchmarks.overhead [--starts 3] [--rounds 7] [--steps 20] [--threads 1]

Prints JSON. `ratio` is the median over interleaved rounds of engine seconds / raw seconds, from submit to the saved
picture, once without and once with previews. Goals: at most 1.03 and 1.08. `identical`: the pixels are the same.
Rounds are made with several `--starts` of the engine, as with two threads processes of the same code differ by 5 %.
Between the two there is a pause: OpenMP's threads go on waiting busily for some milliseconds once their work is done,
and would take the processor from whoever is measured next.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from pipelines.engine.local import LocalEngine
from presets.requests import TextToImage
from presets.settings import Settings

PAUSE = 0.1
"""Seconds before each measurement."""
STARTER = Path(__file__).parent.parent / "pipelines" / "engine" / "starter"


def main() -> None:
    options = _options()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    request = TextToImage(prompt="a red house by the sea at sunset", steps=options.steps, seed=7)
    raw = _raw_pipeline(request, options.dtype, options.threads)
    report: dict[str, object] = {"steps": options.steps, "threads": options.threads, "dtype": options.dtype}
    with tempfile.TemporaryDirectory() as home:
        for name, interval in (("without_previews", 0.0), ("with_previews", 0.25)):
            settings = Settings(
                home=Path(home), threads=options.threads, preview_interval=interval, dtype=options.dtype
            )
            report[name] = _compare(settings, request, raw, options.rounds, options.starts)
    print(json.dumps(report, indent=2))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", default="float32")
    return parser.parse_args()


def _raw_pipeline(request: TextToImage, dtype: str, threads: int):
    import torch
    from diffusers import StableDiffusionPipeline

    from pipelines.engine import samplers

    torch.set_num_threads(threads)
    pipe = StableDiffusionPipeline.from_pretrained(
        STARTER, safety_checker=None, requires_safety_checker=False, torch_dtype=getattr(torch, dtype)
    )
    pipe.scheduler = samplers.build(request.sampler, request.schedule, pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)

    def draw() -> Image.Image:
        answer: Any = pipe(
            request.prompt,
            num_inference_steps=request.steps,
            guidance_scale=request.guidance_scale,
            generator=torch.Generator("cpu").manual_seed(request.seed),
        )
        return answer.images[0]

    return draw


def _compare(
    settings: Settings, request: TextToImage, raw: Callable[[], Image.Image], rounds: int, starts: int
) -> dict[str, float | bool]:
    runs = [_one_start(settings, request, raw, rounds) for _ in range(starts)]
    pairs = [pair for _, timed in runs for pair in timed]
    return {
        "identical": all(identical for identical, _ in runs),
        "raw_seconds": round(statistics.median(raw_time for raw_time, _ in pairs), 4),
        "engine_seconds": round(statistics.median(own for _, own in pairs), 4),
        "ratio": round(statistics.median(own / raw_time for raw_time, own in pairs), 4),
    }


def _one_start(
    settings: Settings, request: TextToImage, raw: Callable[[], Image.Image], rounds: int
) -> tuple[bool, list[tuple[float, float]]]:
    engine = LocalEngine(settings).start()
    try:
        saved = engine.submit(request).result()[0]
        with Image.open(saved.path) as own:
            identical = own.tobytes() == raw().tobytes()
        return identical, [(_seconds(raw), _seconds(lambda: engine.submit(request).result())) for _ in range(rounds)]
    finally:
        engine.close()


def _seconds(work: Callable[[], object]) -> float:
    time.sleep(PAUSE)
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
