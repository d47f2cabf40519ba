"""Memory that runs out, at each place where it is taken: afterwards the next job draws what it always draws.

    python -m tests.soak.memory [--count 100] [--seed 0] [--places load encode ...]

Prints JSON. A real worker of the CPU with small checkpoints, a LoRA and an upscaler; what finds no memory is put into
the libraries' own calls: files brought into memory, a LoRA read, merged; modules run. Each time it is one random call,
or that one and all after it, and the next job another one than the one that was hit. Per place: `injected` (that many
found no memory), `recovered` (the job went on and drew the same), `tiled` (drew it, decoded in tiles, and said so),
`told` (ended with E-MEMORY), `other` (anything else; goal 0), `next_same` of `injected` (goal: all).
"""

import argparse
import contextlib
import hashlib
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Container, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.autoencoders.vae import Decoder
from PIL import Image
from spandrel.architectures.Compact import Compact
from transformers import CLIPTextModel

from pipelines.engine import adapters
from pipelines.engine.jobs import Event, Failed, Saved
from pipelines.engine.worker import Worker
from presets.drawing import LoraUse
from presets.inputs import Inputs
from presets.requests import AnyRequest, TextToImage
from presets.settings import Settings
from presets.upscale import Upscale
from tests.checkpoints import save_folder, tiny_sd1
from tests.loras import of_sd1, save_lora
from tests.shortages import CPU, CUDA, failing
from tests.upscalers import save_upscaler, tiny_compact

STEPS = 3
FIRST_CALLS = 12
"""Of load and LoRA: one of so many calls fails."""
ERRORS = (CUDA, CPU, MemoryError())
Failing = Callable[[Exception, Container[int]], contextlib.AbstractContextManager[list[int]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--places", nargs="+", choices=PLACES, default=list(PLACES), help="those alone (default all)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as home:
        studio = Studio(Path(home), random.Random(options.seed))
        found: dict[str, dict[str, int]] = {}
        for place in options.places:
            found[place] = dict(studio.soak(place, options.count))
            print(place, found[place], file=sys.stderr, flush=True)
        print(json.dumps(found, indent=2))


@contextlib.contextmanager
def _calls_of(owner: Any, name: str, error: Exception, calls: Container[int]) -> Iterator[list[int]]:
    """As `failing`, calls of a function."""
    real, counted = getattr(owner, name), []

    def call(*arguments: Any, **named: Any) -> Any:
        counted.append(1)
        if len(counted) - 1 in calls:
            raise error
        return real(*arguments, **named)

    with patch.object(owner, name, call):
        yield counted


PLACES: dict[str, tuple[str, int, Failing]] = {
    "load": ("plain", FIRST_CALLS, lambda error, calls: _calls_of(torch, "frombuffer", error, calls)),
    "encode": ("plain", 2, lambda error, calls: failing(CLIPTextModel, error, calls)),
    "step": ("plain", STEPS, lambda error, calls: failing(UNet2DConditionModel, error, calls)),
    "decode": ("plain", 1, lambda error, calls: failing(Decoder, error, calls)),
    "lora_read": ("lora", FIRST_CALLS, lambda error, calls: _calls_of(adapters, "changes_of", error, calls)),
    "lora_merge": ("lora", FIRST_CALLS, lambda error, calls: _calls_of(adapters, "merge", error, calls)),
    "upscale": ("upscale", 4, lambda error, calls: failing(Compact, error, calls)),
}
"""What is hit, in how many calls of it, and how."""


class Studio:
    """A worker, its requests by name, and the digests of what they draw where nothing fails."""

    def __init__(self, home: Path, chance: random.Random):
        models = home / "models"
        for seed, name in enumerate(("a", "b")):
            save_folder(tiny_sd1(seed), models / "checkpoints" / name)
        save_lora(models, "ink", of_sd1(tiny_sd1(100)))
        save_upscaler(tiny_compact(2), models / "upscalers/twice.safetensors")
        self._chance = chance
        self._settings = Settings(home=home, device="cpu", threads=1, preview_interval=0)
        self._worker = Worker(self._settings, "pipelines.runners:RUNNERS")
        self._requests = self._all_requests()
        self._expected = {name: _digest(self._run(name)) for name in self._requests}

    def _all_requests(self) -> dict[str, AnyRequest]:
        plain = TextToImage(prompt="a cat", steps=STEPS, seed=5).resolved("a", (64, 64))
        given = Inputs(self._settings.inputs).keep(Image.effect_noise((96, 96), 80).convert("RGB"))
        return {
            "plain": plain,
            "other": plain.model_copy(update={"checkpoint": "b", "prompt": "a dog", "seed": 6}),
            "lora": plain.model_copy(update={"loras": (LoraUse(name="ink", strength=0.8),)}),
            "upscale": Upscale(image=given, upscaler="twice", tile=64, overlap=16),
        }

    def _run(self, name: str) -> list[Event]:
        events: list[Event] = []
        request = self._requests[name].model_dump(mode="json")
        message = {"mark": "", "hashes": {}, "warnings": [], "first": 0, "waited": 0.0, "owner": ""}
        self._worker.run({"request": request, **message}, events.append, lambda: False)
        return events

    def soak(self, place: str, count: int) -> Counter[str]:
        """Let memory run out there `count` times; how often what became of it."""
        found: Counter[str] = Counter()
        while found["injected"] < count:
            hit, calls, failing_there = PLACES[place]
            first = self._chance.randrange(calls)
            which = {first} if self._chance.random() < 0.5 else range(first, 10**9)
            self._forget(place)
            with failing_there(self._chance.choice(ERRORS), which) as counted:
                events = self._run(hit)
            if len(counted) <= first:
                continue
            found["injected"] += 1
            found[self._outcome(hit, events)] += 1
            following = self._chance.choice(list(self._requests))
            found["next_same"] += _digest(self._run(following)) == self._expected[following]
        return found

    def _forget(self, place: str) -> None:
        """Have what is hit not at hand already."""
        if place in ("load", "lora_read", "lora_merge") or self._chance.random() < 0.2:
            for name in ("a", "b"):
                self._worker.obey({"do": "unload", "model": name}, lambda _: None, lambda: False)
            self._worker._models.release()
        self._worker._conditioner.forget()

    def _outcome(self, name: str, events: list[Event]) -> str:
        last = events[-1]
        if isinstance(last, Failed):
            return "told" if last.code == "E-MEMORY" else f"other: {last.message}"
        (saved,) = (event for event in events if isinstance(event, Saved))
        if _digest(events) == self._expected[name]:
            return "recovered"
        return "tiled" if any("in tiles" in warning for warning in saved.warnings) else "other"


def _digest(events: list[Event]) -> str:
    """Of the pixels that were saved."""
    digest = hashlib.sha256()
    for saved in (event for event in events if isinstance(event, Saved)):
        with Image.open(saved.path) as image:
            digest.update(image.tobytes())
    return digest.hexdigest()


if __name__ == "__main__":
    main()
