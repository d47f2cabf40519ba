"""Latents as a small JPEG: what the picture will be, seen before it is done and without the decoder."""

import io
from pathlib import Path

import torch
from PIL import Image
from pydantic import BaseModel, ConfigDict, ValidationError

PREVIEW_FILE = "preview.json"
PREVIEW_SIDE = 320
PREVIEW_INTERVAL = 0.25
JPEG_QUALITY = 80


class LatentMap(BaseModel):
    """Scaled latents times `matrix` (a row of red, green, blue for each channel) plus `bias` are nearly the picture,
    one pixel for each latent, in [-1, 1]."""

    model_config = ConfigDict(frozen=True)

    matrix: tuple[tuple[float, float, float], ...]
    bias: tuple[float, float, float]


def read_latent_map(folder: Path, otherwise: LatentMap) -> LatentMap:
    """The map in `preview.json` of a model's folder, or `otherwise` if there is none that can be read."""
    try:
        return LatentMap.model_validate_json((folder / PREVIEW_FILE).read_bytes())
    except (OSError, ValidationError):
        return otherwise


def thumbnail(latents: torch.Tensor, latent_map: LatentMap) -> Image.Image:
    """`latents` (1, channels, height, width), scaled, as a picture whose longer side is `PREVIEW_SIDE` pixels."""
    values = latents[0].detach().float().cpu().movedim(0, -1)
    colours = values @ torch.tensor(latent_map.matrix) + torch.tensor(latent_map.bias)
    pixels = ((colours.clamp(-1, 1).nan_to_num() + 1) * 127.5).round().to(torch.uint8)
    image = Image.fromarray(pixels.numpy())
    scale = PREVIEW_SIDE / max(image.size)
    return image.resize((round(image.width * scale) or 1, round(image.height * scale) or 1), Image.Resampling.BILINEAR)


def jpeg(image: Image.Image) -> bytes:
    """`image` as a JPEG of a few kilobytes."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()
