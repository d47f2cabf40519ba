"""Waiting jobs drawn at once: requests that differ in words and seeds alone, as one batch.

A batch costs less than its pictures one by one, on some devices and at some sizes; and a device may compute a row of a
batch a little differently. Both are measured, not assumed: the first batch of its kind holds a picture that has just
been made alone.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import torch
from PIL import Image

from pipelines.denoise import Watch, denoise_together
from pipelines.drawing import about_drawing, conditioning_of, decoded, latent_map_of, warn_of
from pipelines.engine.conditioning import Conditioning
from pipelines.engine.context import Context
from pipelines.engine.errors import Cancelled
from pipelines.engine.jobs import Event, Finished, Saved, Stopped
from pipelines.engine.manager import Loaded, Switch
from presets.requests import TextToImage

LARGEST_DIFFERENCE = 1
"""Of 255, between a picture of a batch and the one that is made alone."""
MOST_SECONDS = 0.95
"""A batch pays where its steps take less than this share of those of its pictures alone."""


@dataclass(frozen=True, slots=True)
class _Member:
    """One of a batch: its number in it, its request, its job and what its words mean."""

    number: int
    request: TextToImage
    context: Context
    conditioning: Conditioning


class _Company:
    """Those of a batch whose jobs still want their pictures. Who is cancelled leaves it, and is told so at once."""

    def __init__(self, contexts: Mapping[int, Context]):
        self._left = dict(contexts)

    def has(self, number: int) -> bool:
        return number in self._left

    def tell(self, number: int, act: Callable[[Context], None]) -> None:
        """Do `act` with the job `number`. Raises `Cancelled` where it was the last one and has been cancelled."""
        context = self._left.get(number)
        if context is None:
            return
        try:
            act(context)
        except Cancelled:
            del self._left[number]
            context.send(Stopped())
            if not self._left:
                raise

    def report(self, event: Event) -> None:
        """To all of them."""
        for number in list(self._left):
            self.tell(number, lambda context: context.report(event))


def draw_together(requests: Sequence[TextToImage], contexts: Sequence[Context], proof: Saved | None = None) -> bool:
    """Make and save a picture for each of resolved requests of one `batch_key`, and end their jobs.

    With `proof`, the picture of the first one, made alone just before, that one is drawn only to be compared. False
    where drawing together does not pay, or gives another picture; then nothing was saved. Jobs whose words are longer
    than the first one's or shorter are left as they are. Raises what drawing raises.
    """
    started = time.perf_counter()
    company = _Company({number: context for number, context in enumerate(contexts) if number or proof is None})
    first = requests[0]
    assert first.width and first.height
    with contexts[0].models.pipeline(
        first.checkpoint, first.kind, loras=first.all_loras, vae=first.vae, size=first.canvas, report=company.report
    ) as loaded:
        members = _members(requests, contexts, loaded, company)
        began = time.perf_counter()
        latents = _denoised(members, loaded, company)
        seconds = (time.perf_counter() - began) / len(members)
        if proof is not None:
            alone = decoded(latents[:1], first, loaded, contexts[0])
            if seconds > MOST_SECONDS * proof.timings["denoise"] or _difference(alone, proof.path) > LARGEST_DIFFERENCE:
                return False
        for row, member in enumerate(members):
            if proof is None or row:
                timings = {**_loading(loaded, row), "encode": 0.0, "denoise": seconds}
                company.tell(member.number, _saving(member, latents[row : row + 1], loaded, timings, len(members)))
                company.tell(member.number, _finishing(started, len(members)))
    return True


def _members(
    requests: Sequence[TextToImage], contexts: Sequence[Context], loaded: Loaded, company: _Company
) -> list[_Member]:
    """Those whose words take as many rows as the first one's: others cannot stand in one tensor with it."""
    members = []
    for number, (request, context) in enumerate(zip(requests, contexts, strict=True)):
        company.tell(number, lambda context, request=request: warn_of(request, loaded, context))
        if number == 0 or company.has(number):
            members.append(_Member(number, request, context, conditioning_of(request, loaded, context)))
    shape = members[0].conditioning.prompt.shape
    return [member for member in members if member.conditioning.prompt.shape == shape]


def _denoised(members: Sequence[_Member], loaded: Loaded, company: _Company) -> torch.Tensor:
    policy = members[0].context.policy
    latent_map = latent_map_of(loaded) if policy.preview_interval else None

    def watch(member: _Member) -> Watch:
        def report(event: Event) -> None:
            company.tell(member.number, lambda context: context.report(event))

        return Watch(report, latent_map=latent_map, preview_interval=policy.preview_interval)

    conditioning = Conditioning(
        *(
            _rows([getattr(member.conditioning, name) for member in members])
            for name in Conditioning.__dataclass_fields__
        )
    )
    return denoise_together(
        loaded.pipe, conditioning, [member.request for member in members], [watch(member) for member in members]
    )


def _rows(parts: Sequence[Any]) -> Any:
    return None if parts[0] is None else torch.cat(list(parts))


def _loading(loaded: Loaded, row: int) -> dict[str, float]:
    """What loading cost, which the first one pays."""
    return {"load": loaded.seconds, "adapters": loaded.adapters.seconds} if row == 0 else {"load": 0.0, "adapters": 0.0}


def _saving(
    member: _Member, latents: torch.Tensor, loaded: Loaded, timings: dict[str, float], number: int
) -> Callable[[Context], None]:
    def save(context: Context) -> None:
        context.check()
        began = time.perf_counter()
        image = decoded(latents, member.request, loaded, context)
        costs = {**timings, "decode": time.perf_counter() - began}
        switch = loaded.switch if timings["load"] else Switch(0.0, "resident")
        about = {**about_drawing(loaded, switch, context), "batch": number}
        context.save(0, image, member.request, {name: round(cost, 4) for name, cost in costs.items()}, about)

    return save


def _finishing(started: float, number: int) -> Callable[[Context], None]:
    def finish(context: Context) -> None:
        context.send(Finished(timings={"total": round(time.perf_counter() - started, 4)}, together=number))

    return finish


def _difference(image: Image.Image, path: Path) -> int:
    """The largest, of 255, between two pictures."""
    with Image.open(path) as saved:
        pixels = numpy.asarray(saved.convert("RGB"), dtype=numpy.int16)
    return int(numpy.abs(numpy.asarray(image.convert("RGB"), dtype=numpy.int16) - pixels).max())
