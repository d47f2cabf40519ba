"""Stable Diffusion 1.5 and XL at their real sizes (random weights, made here): steps, switches, LoRAs, peak memory.

    python -m benchmarks.gpu [--families sd1 sdxl] [--steps 20] [--rounds 3] [--no-compile] [--small] [--device cuda]

Prints JSON with the name of the card. `steps_per_second` is Easel's beside raw diffusers with PyTorch's attention, with
xformers' and compiled, all guided, interleaved, medians over the rounds; None for what does not run here. `switch`
is from main memory to the device, beside a plain copy of as many pinned bytes; `lora_seconds` what it takes to have
a LoRA of rank 16 on the weights and off again; `peak_bytes` the most memory of the device during one picture with its
decode. On a CPU it shows only that the script runs: the "device" is main memory.
"""

import argparse
import contextlib
import gc
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from benchmarks.random_models import random_sd1, random_sdxl, save_random_lora
from pipelines.denoise import Watch, decode, denoise
from pipelines.engine import samplers
from pipelines.engine.catalog import Catalog
from pipelines.engine.conditioning import Conditioner, Conditioning
from pipelines.engine.manager import PipelineManager
from pipelines.engine.policy import Hardware, decide, detect
from presets.drawing import LoraUse
from presets.requests import TextToImage
from presets.settings import Settings

MAKERS = {"sd1": random_sd1, "sdxl": random_sdxl}
SIZES = {"sd1": (512, 512), "sdxl": (1024, 1024)}
Way = Callable[[], AbstractContextManager[Any]]
LORA = LoraUse(name="lora", strength=0.8)


def main(arguments: Sequence[str] | None = None) -> None:
    options = options_of(arguments)
    for library in (diffusers_logging, transformers_logging):
        library.set_verbosity_error()
        library.disable_progress_bar()
    print(json.dumps(measure(options), indent=2))


def options_of(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", nargs="+", choices=MAKERS, default=list(MAKERS))
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--small", action="store_true", help="tiny models of the same kinds, to try the script")
    parser.add_argument("--folder", type=Path, default=None, help="where the checkpoints lie meanwhile")
    return parser.parse_args(arguments)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """The report that is printed."""
    settings = Settings(device=options.device)
    hardware = detect(settings)
    report: dict[str, Any] = {
        "card": hardware.name,
        "policy": str(decide(hardware, settings)),
        "torch": torch.__version__,
        "steps": options.steps,
        "small": options.small,
    }
    for family in options.families:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            report[family] = _Trial(family, Path(folder), hardware, options).report()
        gc.collect()
    return report


class _Trial:
    """One family: two checkpoints of it on disk, and a LoRA for both."""

    def __init__(self, family: str, root: Path, hardware: Hardware, options: argparse.Namespace):
        self._options = options
        self._hardware = hardware
        self._root = root
        self._size = (64, 64) if options.small else SIZES[family]
        self._request = TextToImage(
            prompt="a red house", width=self._size[0], height=self._size[1], steps=options.steps, seed=7,
            sampler="Euler", guidance_scale=7.5,
        )  # fmt: skip
        for seed, name in enumerate("ab"):
            pipe = MAKERS[family](small=options.small, seed=seed).to(torch.float16)
            pipe.save_pretrained(root / "checkpoints" / name)
            save_random_lora(root / "loras" / f"{LORA.name}.safetensors", {"lora_unet_": pipe.unet})

    def report(self) -> dict[str, Any]:
        parts = (self._speed(), self._switch(), self._lora(), self._peak())
        return {name: value for part in parts for name, value in part.items()}

    def _manager(self, **settings: Any) -> PipelineManager:
        given = Settings(device=self._hardware.device, **settings)
        return PipelineManager(Catalog([self._root]), decide(self._hardware, given), given)

    def _speed(self) -> dict[str, Any]:
        with self._manager().pipeline("a", size=self._size) as loaded:
            conditioning = Conditioner().encode(loaded.pipe, self._request.prompt, "")
            raw = self._raw(loaded.pipe)
            ways: dict[str, tuple[Way, Callable[[], Any]]] = {
                "easel": (contextlib.nullcontext, lambda: self._latents(loaded.pipe, conditioning))
            }
            for name, way in _ways(raw, self._options.compile).items():
                ways[name] = (way, lambda: _raw_latents(raw, conditioning, self._request))
            seconds = {name: [_seconds_within(*way)] for name, way in ways.items()}  # the first is a warm-up
            for _ in range(self._options.rounds):
                for name, way in ways.items():
                    seconds[name].append(_seconds_within(*way))
        return {"steps_per_second": {name: self._rate(values[1:]) for name, values in seconds.items()}}

    def _rate(self, seconds: Sequence[float | None]) -> float | None:
        known = [value for value in seconds if value is not None]
        return round(self._options.steps / statistics.median(known), 2) if known else None

    def _raw(self, own: Any) -> Any:
        """diffusers' own pipeline of the same checkpoint, precision and sampler."""
        raw = DiffusionPipeline.from_pretrained(
            self._root / "checkpoints" / "a", dtype=own.unet.dtype, local_files_only=True
        ).to(self._hardware.device)
        raw.set_progress_bar_config(disable=True)
        raw.scheduler = samplers.build(self._request.sampler, self._request.schedule, raw.scheduler.config)
        return raw

    def _latents(self, pipe: Any, conditioning: Conditioning) -> torch.Tensor:
        return denoise(pipe, conditioning, self._request, Watch(lambda _: None))

    def _switch(self) -> dict[str, Any]:
        """Between two checkpoints of which the device may hold one."""
        models = self._manager()
        for name in "ab":
            models.load(name)
        size = max(resident.bytes for resident in models.memory().residents)
        if self._hardware.device == "cuda":
            models = self._manager(memory_budget=int(1.5 * size), ram_budget=4 * size)
        for name in "ab":
            models.load(name)
        switches, copies = [], []
        for _ in range(self._options.rounds):
            for name in "ab":
                with models.pipeline(name) as loaded:
                    switches.append(loaded.switch.seconds)
            copies.append(self._plain_copy(size))
        seconds, copy = statistics.median(switches), statistics.median(copies)
        times = {"seconds": round(seconds, 4), "plain_copy_seconds": round(copy, 4), "ratio": round(seconds / copy, 3)}
        return {"switch": {"bytes": size, **times}}

    def _plain_copy(self, size: int) -> float:
        source = torch.zeros(size, dtype=torch.uint8, pin_memory=self._hardware.device == "cuda")
        target = torch.empty(size, dtype=torch.uint8, device=self._hardware.device)
        return _seconds(lambda: target.copy_(source, non_blocking=True))

    def _lora(self) -> dict[str, Any]:
        """Seconds of having a LoRA on the weights, read and parked, and of taking it off."""
        models = self._manager()
        models.load("a")
        report = {}
        for when in ("first", "again"):
            stack = contextlib.ExitStack()
            use = models.pipeline("a", loras=(LORA,))
            report[f"{when}_on"] = round(_seconds(lambda stack=stack, use=use: stack.enter_context(use)), 4)
            report[f"{when}_off"] = round(_seconds(stack.close), 4)
        return {"lora_seconds": report}

    def _peak(self) -> dict[str, Any]:
        """Seconds of a picture with its decode, and the most memory that PyTorch had of the device meanwhile."""
        with self._manager().pipeline("a", size=self._size) as loaded:
            conditioning = Conditioner().encode(loaded.pipe, self._request.prompt, "")

            def draw() -> None:
                decode(loaded.pipe, self._latents(loaded.pipe, conditioning), lambda _: None)

            draw()
            if self._hardware.device == "cuda":
                torch.cuda.reset_peak_memory_stats()
            seconds = round(_seconds(draw), 3)
        peak = torch.cuda.max_memory_allocated() if self._hardware.device == "cuda" else None
        return {"picture_seconds": seconds, "peak_bytes": peak}


def _ways(raw: Any, with_compile: bool) -> dict[str, Way]:
    """How else `raw` may run, as contexts that raise where that does not work here."""
    unet = raw.unet
    compiled = torch.compile(unet) if with_compile else None

    @contextlib.contextmanager
    def xformers() -> Iterator[None]:
        unet.enable_xformers_memory_efficient_attention()
        try:
            yield
        finally:
            unet.disable_xformers_memory_efficient_attention()

    @contextlib.contextmanager
    def compilation() -> Iterator[None]:
        raw.unet = compiled
        try:
            yield
        finally:
            raw.unet = unet

    ways = {"diffusers_sdpa": contextlib.nullcontext, "diffusers_xformers": xformers}
    return {**ways, "diffusers_compiled": compilation} if with_compile else ways


def _raw_latents(raw: Any, conditioning: Conditioning, request: TextToImage) -> torch.Tensor:
    given = {
        "prompt_embeds": conditioning.prompt,
        "negative_prompt_embeds": conditioning.negative,
        "pooled_prompt_embeds": conditioning.pooled,
        "negative_pooled_prompt_embeds": conditioning.negative_pooled,
    }
    return raw(
        **{name: tensor for name, tensor in given.items() if tensor is not None},
        num_inference_steps=request.steps,
        guidance_scale=request.guidance_scale,
        width=request.width,
        height=request.height,
        generator=torch.Generator("cpu").manual_seed(request.seed),
        output_type="latent",
    ).images


def _seconds_within(way: Way, run: Callable[[], Any]) -> float | None:
    """Seconds of `run` within `way`; None where that does not work here."""
    try:
        with way():
            return _seconds(run)
    except (ImportError, ValueError, NotImplementedError):
        return None


def _seconds(run: Callable[[], Any]) -> float:
    began = time.perf_counter()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
