"""Image to image: a picture redrawn as told in words, in rounds if asked for."""

import functools
import time
from collections.abc import Mapping
from typing import Any

import torch
from PIL import Image

from pipelines.denoise import Watch, denoise, encode, is_flow
from pipelines.drawing import Then, Work, conditioning_of, decoded, draw
from pipelines.engine.context import Context
from pipelines.engine.manager import Loaded
from pipelines.resizing import RESIZED, stretched
from pipelines.units import Own, follow, names_of, resized_to
from presets.fields import SIDE_STEP
from presets.inputs import on_white
from presets.requests import ImageToImage
from presets.sizes import on_grid


def run(request: ImageToImage, context: Context) -> None:
    """Make and save the pictures of a resolved request."""
    given = on_white(context.inputs.open(request.image))
    own = Own(given, "stretch" if request.resize_mode == "latent" else request.resize_mode)
    work = Work(
        functools.partial(from_picture, given=given),
        controls=names_of(request),
        during=follow(request, context, resized_to(request.canvas), own),
        then=_loopback(request, context),
    )
    draw(request, context, work)


def _loopback(request: ImageToImage, context: Context) -> Then | None:
    """The rounds that follow on the first; None where there are none. Each begins with the pixels of the one before, so
    that it draws what it would draw alone."""
    if request.rounds == 1:
        return None
    first, *rest = (int(request.steps * strength) for strength in request.strengths)  # as diffusers counts

    def again(loaded: Loaded, picture: ImageToImage, latents: torch.Tensor, watch: Watch) -> torch.Tensor:
        started, conditioning = time.perf_counter(), conditioning_of(picture, loaded, context)
        for number in range(1, picture.rounds):
            begin = functools.partial(from_picture, given=decoded(latents, picture, loaded, context))
            part = watch.part(sum(rest[: number - 1]), sum(rest), time.perf_counter() - started)
            latents = denoise(loaded.pipe, conditioning, picture.round(number), part, begin)
        return latents

    return Then(first, sum(rest), again)


def from_picture(pipe: Any, request: ImageToImage, generator: torch.Generator, given: Image.Image) -> Mapping[str, Any]:
    """What the pipeline starts from: the latents of `given` in the request's size."""
    assert request.width and request.height
    size = (request.width, request.height)
    if request.resize_mode == "latent":
        whole = stretched(given, (on_grid(given.width, SIDE_STEP), on_grid(given.height, SIDE_STEP)))
        sides = (size[1] // pipe.vae_scale_factor, size[0] // pipe.vae_scale_factor)
        latents = torch.nn.functional.interpolate(encode(pipe, whole, generator), sides, mode="bilinear")
    else:
        latents = encode(pipe, RESIZED[request.resize_mode](given, size), generator)
    shape = {"width": size[0], "height": size[1]} if is_flow(pipe) else {}
    return {"image": latents, "strength": request.strength, **shape}
