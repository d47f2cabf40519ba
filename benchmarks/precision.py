"""What the policy's precision and memory format gain on this machine beside raw diffusers in float32.

    python -m benchmarks.precision [--sizes 256 512] [--steps 4] [--rounds 3] [--threads 1] [--small]

A random checkpoint of Stable Diffusion 1.5's real size (with --small a tiny one) is drawn from by both in turn. Prints
JSON. `ratio` is the median over rounds of raw seconds / own seconds for the steps of one picture, `mean_difference`
and `max_difference` are of the finished pictures, out of 255. Goals: at least 3, and a mean of at most 3.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy
import torch
from diffusers import StableDiffusionPipeline

from benchmarks.random_models import random_sd1
from pipelines.denoise import Watch, decode, denoise
from pipelines.engine import samplers
from pipelines.engine.catalog import Catalog
from pipelines.engine.conditioning import Conditioner
from pipelines.engine.manager import PipelineManager
from pipelines.engine.policy import decide, detect
from presets.requests import TextToImage
from presets.settings import Settings


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    settings = Settings(device="cpu", threads=options.threads, preview_interval=0.0)
    policy = decide(detect(settings), settings)
    report: dict[str, Any] = {"policy": str(policy), "steps": options.steps}
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home) / "checkpoints" / "random"
        random_sd1(small=options.small).to(torch.float16).save_pretrained(folder)
        raw = StableDiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
        raw.set_progress_bar_config(disable=True)
        manager = PipelineManager(Catalog([Path(home)]), policy, settings)
        with manager.pipeline("random") as loaded:
            for size in options.sizes:
                report[str(size)] = _compare(raw, loaded.pipe, size, options)
    print(json.dumps(report, indent=2))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512])
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--small", action="store_true")
    return parser.parse_args()


def _compare(raw: Any, own: Any, size: int, options: argparse.Namespace) -> dict[str, float]:
    request = TextToImage(
        prompt="a red house", width=size, height=size, steps=options.steps, seed=7, sampler="Euler", guidance_scale=7.5
    )
    pictures, pairs = [], []
    for _ in range(options.rounds):
        first, raw_seconds = _raw(raw, request)
        second, own_seconds = _own(own, request)
        pictures, pairs = [first, second], [*pairs, (raw_seconds, own_seconds)]
    difference = numpy.abs(pictures[0].astype(int) - pictures[1])
    return {
        "raw_seconds_per_step": round(statistics.median(pair[0] for pair in pairs) / options.steps, 3),
        "own_seconds_per_step": round(statistics.median(pair[1] for pair in pairs) / options.steps, 3),
        "ratio": round(statistics.median(pair[0] / pair[1] for pair in pairs), 2),
        "mean_difference": round(float(difference.mean()), 2),
        "max_difference": int(difference.max()),
    }


def _raw(pipe: Any, request: TextToImage) -> tuple[numpy.ndarray, float]:
    """The picture that diffusers makes in float32, and the seconds from its first noise to its latents."""
    pipe.scheduler = samplers.build(request.sampler, request.schedule, pipe.scheduler.config)
    embeddings = pipe.encode_prompt(request.prompt, "cpu", 1, True, "")
    began = time.perf_counter()
    latents = pipe(
        prompt_embeds=embeddings[0],
        negative_prompt_embeds=embeddings[1],
        num_inference_steps=request.steps,
        guidance_scale=request.guidance_scale,
        width=request.width,
        height=request.height,
        generator=torch.Generator("cpu").manual_seed(request.seed),
        output_type="latent",
    ).images
    return _pixels(pipe, latents, began)


def _own(pipe: Any, request: TextToImage) -> tuple[numpy.ndarray, float]:
    conditioning = Conditioner().encode(pipe, request.prompt, "")
    began = time.perf_counter()
    return _pixels(pipe, denoise(pipe, conditioning, request, Watch(lambda _: None)), began)


def _pixels(pipe: Any, latents: torch.Tensor, began: float) -> tuple[numpy.ndarray, float]:
    seconds = time.perf_counter() - began
    return numpy.asarray(decode(pipe, latents, lambda _: None)), seconds


if __name__ == "__main__":
    main()
