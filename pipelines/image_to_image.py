"""Image to image: a picture redrawn as told in words, in rounds if asked for."""

import functools
import time
from collections.abc import Mapping, Sequence
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
    others = [(on_white(context.inputs.open(one.picture, "blend")), one.share) for one in request.blend if one.picture]
    blend = [(picture, share) for picture, share in others if share]
    work = Work(
        functools.partial(from_picture, given=given, blend=blend),
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


def from_picture(
    pipe: Any,
    request: ImageToImage,
    generator: torch.Generator,
    given: Image.Image,
    blend: Sequence[tuple[Image.Image, float]] = (),
) -> Mapping[str, Any]:
    """What the pipeline starts from: the latents of `given` in the request's size, those of each picture of `blend`
    mixed in by its share."""
    latents = _latents(pipe, request, generator, given)
    if blend:
        others = [_latents(pipe, request, generator, picture) for picture, _ in blend]
        latents = mixed([latents, *others], [1.0, *(share for _, share in blend)])
    shape = {"width": request.width, "height": request.height} if is_flow(pipe) else {}
    return {"image": latents, "strength": request.strength, **shape}


def _latents(pipe: Any, request: ImageToImage, generator: torch.Generator, picture: Image.Image) -> torch.Tensor:
    assert request.width and request.height
    if request.resize_mode != "latent":
        return encode(pipe, RESIZED[request.resize_mode](picture, request.canvas), generator)
    whole = stretched(picture, (on_grid(picture.width, SIDE_STEP), on_grid(picture.height, SIDE_STEP)))
    sides = (request.height // pipe.vae_scale_factor, request.width // pipe.vae_scale_factor)
    return torch.nn.functional.interpolate(encode(pipe, whole, generator), sides, mode="bilinear")


def mixed(latents: Sequence[torch.Tensor], shares: Sequence[float]) -> torch.Tensor:
    """The mean of `latents` by their shares, as large as these are: by itself it would be smaller, which is grey.

    Of two alike in size and share it is the middle of their arc, as in https://en.wikipedia.org/wiki/Slerp.
    """
    parts = [share / sum(shares) for share in shares]
    floats = [each.float() for each in latents]
    mean = torch.stack([each * part for each, part in zip(floats, parts, strict=True)]).sum(dim=0)
    size = sum(float(each.norm()) * part for each, part in zip(floats, parts, strict=True))
    return (mean * (size / mean.norm().clamp(min=1e-6))).to(latents[0].dtype)
