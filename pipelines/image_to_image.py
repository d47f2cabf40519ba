"""Image to image: a picture redrawn as told in words."""

from collections.abc import Mapping
from typing import Any

import torch
from PIL import Image

from pipelines.denoise import encode, is_flow
from pipelines.drawing import Work, draw
from pipelines.engine.context import Context
from pipelines.resizing import RESIZED, stretched
from presets.fields import SIDE_STEP
from presets.inputs import on_white
from presets.requests import ImageToImage
from presets.sizes import on_grid


def run(request: ImageToImage, context: Context) -> None:
    """Make and save the pictures of a resolved request."""
    given = on_white(context.inputs.open(request.image))

    def begin(pipe: Any, picture: ImageToImage, generator: torch.Generator) -> Mapping[str, Any]:
        return from_picture(pipe, picture, generator, given)

    draw(request, context, Work(begin))


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
