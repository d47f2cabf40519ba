"""The hires fix: a picture that is drawn is made larger and drawn on, by the same checkpoint."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from pipelines.denoise import Watch, denoise, encode, is_flow
from pipelines.drawing import Then, conditioning_of, decoded, warn_of_guidance
from pipelines.engine.context import Context
from pipelines.engine.jobs import Event, Progress
from pipelines.engine.manager import Loaded, for_task
from pipelines.enlarging import Way, enlarge
from presets.errors import renamed_field
from presets.hires_fields import LATENT
from presets.text_to_image import TextToImage

TILE, OVERLAP = 512, 32


def drawing_on(request: TextToImage, context: Context) -> Then | None:
    """What follows on a picture's first drawing; None where nothing does."""
    if not request.is_drawn_on:
        return None

    def draw(loaded: Loaded, picture: TextToImage, latents: torch.Tensor, watch: Watch) -> torch.Tensor:
        def begin(pipe: Any, larger: TextToImage, generator: torch.Generator) -> Mapping[str, Any]:
            shape = {"width": larger.width, "height": larger.height} if is_flow(pipe) else {}
            start = _enlarged(redrawing, picture, latents, generator, context)
            return {"image": start, "strength": picture.hires_strength, **shape}

        larger, redrawing = picture.drawn_on(), replace(loaded, pipe=for_task(loaded, "image-to-image"))
        warn_of_guidance(larger, redrawing, context)
        conditioning = conditioning_of(larger, loaded, context)
        return denoise(redrawing.pipe, conditioning, larger, watch, begin)

    return Then(request.steps, int(request.drawn_on().steps * request.hires_strength), draw)


def _enlarged(
    loaded: Loaded, picture: TextToImage, latents: torch.Tensor, generator: torch.Generator, context: Context
) -> torch.Tensor:
    """The latents of the first drawing in the full size."""
    width, height = picture.picture_size
    if picture.hires_upscaler == LATENT:
        factor = loaded.pipe.vae_scale_factor
        sides = (height // factor, width // factor)
        return torch.nn.functional.interpolate(latents, sides, mode="bilinear")

    def send(event: Event) -> None:
        if not isinstance(event, Progress):  # its tiles are no steps
            context.send(event)

    drawn = decoded(latents, picture, loaded, context)
    way = Way(picture.hires_upscaler, TILE, OVERLAP)
    with renamed_field("upscaler", "hires_upscaler"):
        larger = enlarge(drawn, (width, height), way, replace(context, send=send)).image
    return encode(loaded.pipe, larger, generator)
