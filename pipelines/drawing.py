"""What all kinds of drawing share: models taken, pictures made one by one, saved with what made them."""

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
from PIL import Image

from pipelines.denoise import (
    Begin,
    Changes,
    NoNumbers,
    Watch,
    decode,
    denoise,
    denoiser_of,
    from_noise,
    guidance_must_stay,
    is_flow,
)
from pipelines.engine import joint_conditioning
from pipelines.engine.conditioning import Conditioning
from pipelines.engine.context import Context
from pipelines.engine.families import FAMILIES
from pipelines.engine.manager import Loaded, Switch
from pipelines.engine.preview import LatentMap, read_latent_map
from pipelines.engine.samplers import FLOW_SAMPLER
from pipelines.engine.step_cache import can_reuse
from pipelines.styling import styled
from presets.drawing import Drawing
from presets.requests import AnyDrawing


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture as it is saved, and what is to be told of it beside warnings."""

    image: Image.Image
    notes: tuple[str, ...] = ()


def _nothing(_path: Path) -> None:
    pass


During = Callable[[Loaded], AbstractContextManager[None]]
"""What holds while one picture is denoised with what was loaded; leaving it undoes it."""


def _as_usual(_loaded: Loaded) -> AbstractContextManager[None]:
    return contextlib.nullcontext()


@dataclass(frozen=True, slots=True)
class Then:
    """What is drawn on what was drawn: the steps of the first drawing, those of all that follows, and what makes the
    last latents of the first ones."""

    first: int
    steps: int
    draw: Callable[[Loaded, Any, torch.Tensor, Watch], torch.Tensor]


@dataclass(frozen=True, slots=True)
class Work:
    """What one kind of drawing does otherwise than another: what the pipeline starts from, what changes step by step,
    what holds meanwhile, by which control models and which motion module, what is drawn on that, what becomes of the
    picture that it makes, and how the saved file is checked (which may raise)."""

    begin: Begin = from_noise
    changes: Changes | None = None
    controls: tuple[str, ...] = ()
    motion: str = ""
    during: During = _as_usual
    then: Then | None = None
    finish: Callable[[Image.Image], Drawn] = Drawn
    check: Callable[[Path], None] = _nothing


def draw(request: AnyDrawing, context: Context, work: Work) -> None:
    """Make and save the pictures of a resolved request, one by one: each is the same as when asked for alone."""
    assert request.width and request.height
    taken = context.models.pipeline(
        request.checkpoint,
        request.kind,
        loras=request.all_loras,
        vae=request.vae,
        controls=work.controls,
        motion=work.motion,
        size=request.largest_canvas,
        report=context.report,
    )
    with taken as loaded, styled(request, loaded, context):
        warn_of(request, loaded, context)
        latent_map = latent_map_of(loaded) if context.policy.preview_interval else None
        for index in context.remaining(request.count):
            watch = Watch(context.report, index + 1, request.count, latent_map, context.policy.preview_interval)
            _draw(request.picture(index), index, loaded, context, watch, work)


def warn_of(request: Drawing, loaded: Loaded, context: Context) -> None:
    """Tell what of the request this checkpoint's family cannot follow, and what of its LoRAs does not fit."""
    for warning in loaded.adapters.warnings:
        context.warn(warning)
    if request.step_cache and not can_reuse(denoiser_of(loaded.pipe)):
        context.warn(f"The step cache has no effect with {loaded.model.title}.")
    warn_of_guidance(request, loaded, context)
    if not is_flow(loaded.pipe):
        return
    if request.sampler != FLOW_SAMPLER:
        context.warn(f"{loaded.model.title} is drawn with {FLOW_SAMPLER}; {request.sampler} was not used.")
    if request.token_merging:
        context.warn(f"Token merging has no effect with {loaded.model.title}.")
    guided = request.guidance_scale > 1
    for warning in joint_conditioning.warnings_of(loaded.pipe, request.prompt, request.negative_prompt, guided):
        context.warn(warning)


def warn_of_guidance(request: Drawing, loaded: Loaded, context: Context) -> None:
    """Tell where guidance is to end early and cannot."""
    if request.guidance_scale > 1 and 0 < request.guidance_end < 1 and guidance_must_stay(loaded.pipe):
        context.warn(f"Where {loaded.model.title} starts from a picture, guidance cannot end early; it stayed on.")


def _draw(picture: AnyDrawing, index: int, loaded: Loaded, context: Context, watch: Watch, work: Work) -> None:
    started = time.perf_counter()
    conditioning = conditioning_of(picture, loaded, context)
    encoded = time.perf_counter()
    with work.during(loaded):
        latents = _drawn(picture, loaded, conditioning, watch, work)
    denoised = time.perf_counter()
    image, *following = _frames(latents, picture, loaded, context)
    is_first = index == context.first
    switch = loaded.switch if is_first else Switch(0.0, "resident")
    timings = {
        "load": loaded.seconds if is_first else 0.0,
        "adapters": loaded.adapters.seconds if is_first else 0.0,
        "encode": encoded - started,
        "denoise": denoised - encoded,
        "decode": time.perf_counter() - denoised,
    }
    drawn = work.finish(image)
    rounded = {name: round(seconds, 4) for name, seconds in timings.items()}
    about = about_drawing(loaded, switch, context)
    saved = context.save(index, drawn.image, picture, rounded, about, drawn.notes, following)
    work.check(saved.path)


def _drawn(picture: AnyDrawing, loaded: Loaded, conditioning: Conditioning, watch: Watch, work: Work) -> torch.Tensor:
    """The latents of a picture, after all that is drawn on the first ones."""
    if work.then is None:
        return denoise(loaded.pipe, conditioning, picture, watch, work.begin, work.changes)
    first, steps, started = work.then.first, work.then.first + work.then.steps, time.perf_counter()
    latents = denoise(loaded.pipe, conditioning, picture, watch.part(0, steps), work.begin)
    return work.then.draw(loaded, picture, latents, watch.part(first, steps, time.perf_counter() - started))


def _frames(latents: torch.Tensor, picture: Drawing, loaded: Loaded, context: Context) -> Iterator[Image.Image]:
    """The picture of `latents`, or all of an animation's, whose latents have time before the sides."""
    parts = latents.unbind(2) if latents.ndim == 5 else (latents,)
    for part in parts:
        context.check()
        yield decoded(part, picture, loaded, context)


def decoded(latents: torch.Tensor, picture: Drawing, loaded: Loaded, context: Context) -> Image.Image:
    """What the latents of `picture` show. Raises `BrokenPicture`, and what is raised where memory runs out."""
    try:
        return decode(loaded.pipe, latents, context.warn)
    except NoNumbers as problem:
        blamed = [part for part in problem.parts if part == "vae" or not picture.all_loras]  # LoRAs may overflow
        raise context.models.broken(loaded.model, picture.vae, blamed) from None


def conditioning_of(picture: Drawing, loaded: Loaded, context: Context) -> Conditioning:
    """What the words of a request mean to what was loaded."""
    return context.conditioner.encode(
        loaded.pipe,
        picture.prompt,
        picture.negative_prompt if picture.guidance_scale > 1 else None,
        picture.clip_skip,
        version=loaded.adapters.encoders,
    )


def latent_map_of(loaded: Loaded) -> LatentMap:
    """What shows its latents in colours."""
    family = FAMILIES[loaded.model.family]
    usual = LatentMap(matrix=family.latent_to_rgb, bias=family.latent_bias)
    folder = loaded.model.path
    return read_latent_map(folder, usual) if folder is not None and folder.is_dir() else usual


def about_drawing(loaded: Loaded, switch: Switch, context: Context) -> dict[str, Any]:
    """What else makes a picture what it is."""
    return {
        "family": loaded.model.family,
        "device": context.policy.device,
        "dtype": loaded.dtype,
        "weight_storage": context.policy.weight_storage,
        "compiled": context.policy.compile,
        "attention": loaded.attention,
        "offload": loaded.plan.offload,
        "vae_tiling": loaded.plan.vae_tiling,
        "switch": {"seconds": round(switch.seconds, 4), "how": switch.how},
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
    }
