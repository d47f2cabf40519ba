"""Inpaint: a part of a picture redrawn, or drawn on beyond its sides; all else stays to the pixel."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import FluxFillPipeline
from PIL import Image

from pipelines import masks
from pipelines.denoise import denoiser_of, encode
from pipelines.drawing import Drawn, Work, draw
from pipelines.engine.context import Context
from pipelines.masks import Box
from pipelines.resizing import RESIZED, stretched
from pipelines.units import Own, follow, names_of
from presets.errors import UserError
from presets.inputs import on_white
from presets.requests import Inpaint

_WITH_MASK = 9
"""Channels that a UNet made for inpainting reads: latents, mask, and the latents of what is beside it."""


@dataclass(frozen=True, slots=True)
class Scene:
    """The picture in its new frame, `covered` as `masks.coverage` has it, and the box that the model sees. With
    `strengths` (see `masks.spread`) some places are redrawn more than others."""

    picture: Image.Image
    covered: np.ndarray
    box: Box
    strengths: np.ndarray | None = None


TOLERANCE = 1e-6
"""Of means of levels, which are none of 8 bits any more."""


class OutsideChanged(UserError):
    """What must not be: the saved file is not what was asked for."""

    code = "E-INTERNAL"

    def __init__(self, pixels: int):
        super().__init__(f"The saved picture differs from the original in {pixels:,} pixels outside of the mask.")


def run(request: Inpaint, context: Context) -> None:
    """Make and save the pictures of a resolved request."""
    read = context.inputs.levels if request.soft_mask else context.inputs.painted
    scene = scene_of(request, context.inputs.open(request.image), read(request.mask) if request.mask else None)
    work = Work(
        begin=functools.partial(from_scene, scene=scene),
        changes=functools.partial(changes_by, request, scene) if request.soft_mask else None,
        controls=names_of(request),
        during=follow(request, context, functools.partial(_framed, request, scene), Own(on_white(scene.picture))),
        finish=functools.partial(finished, scene),
        check=functools.partial(check, scene),
    )
    draw(request, context, work)


def scene_of(request: Inpaint, given: Image.Image, mask: Image.Image | None) -> Scene:
    """The scene of a resolved request, from its picture and its mask (one channel)."""
    left, top, right, bottom = request.extensions
    levels = np.ones((given.height + top + bottom, given.width + left + right), np.float32)
    painted = _levels(mask, given.size)
    levels[top : top + given.height, left : left + given.width] = 1 - painted if request.invert_mask else painted
    frame = np.pad(np.asarray(given), ((top, bottom), (left, right), (0, 0)), mode="edge")
    covered, strengths = masks.coverage(levels > 0, request.grow_mask, request.feather_mask), None
    if request.soft_mask:
        strengths = masks.spread(levels, covered)
        covered = masks.shown(strengths)
    return Scene(Image.fromarray(frame), covered, _box(request, covered), strengths)


def _levels(mask: Image.Image | None, size: tuple[int, int]) -> np.ndarray:
    """In [0, 1]."""
    if mask is None:
        return np.zeros((size[1], size[0]), np.float32)
    return np.asarray(mask.resize(size, Image.Resampling.NEAREST), np.float32) / 255


def _box(request: Inpaint, covered: np.ndarray) -> Box:
    """What the model sees."""
    height, width = covered.shape
    part = masks.bounds(covered, request.padding)
    if request.area == "whole" or part is None:
        return 0, 0, width, height
    return masks.shaped(part, _size(request), (width, height))


def _framed(request: Inpaint, scene: Scene, image: Image.Image, mode: str) -> Image.Image:
    """A `Fit`: of `image` over the whole frame what the model sees."""
    return stretched(RESIZED[mode](image, scene.picture.size).crop(scene.box), _size(request))


def _size(request: Inpaint) -> tuple[int, int]:
    assert request.width and request.height
    return request.width, request.height


def from_scene(pipe: Any, request: Inpaint, generator: torch.Generator, scene: Scene) -> Mapping[str, Any]:
    """What the pipeline starts from. Checkpoints made for it see the picture without what is masked."""
    size = _size(request)
    image = stretched(on_white(scene.picture).crop(scene.box), size)
    factor = pipe.vae_scale_factor
    mask = first = anew = masks.in_blocks(_seen(scene, size), factor)
    if scene.strengths is not None:
        strengths = _strengths(request, scene, factor)
        first = _enlarged(_redrawn(strengths, 1 / max(int(request.steps * request.strength), 1)), factor)
        anew = _enlarged(strengths >= 1 - TOLERANCE, factor)  # the others are the original for some steps
    if request.content == "fill":
        image = masks.filled_in(image, anew)
    start = {
        "mask_image": torch.from_numpy(first)[None, None].float(),
        "strength": request.strength,
        "width": size[0],
        "height": size[1],
    }
    if isinstance(pipe, FluxFillPipeline):  # takes no latents
        return {**start, "image": image}
    latents = encode(pipe, image, generator)
    hidden = latents
    if denoiser_of(pipe).config.in_channels == _WITH_MASK:
        grey = np.where(mask[..., None], np.uint8(127), np.asarray(image))
        hidden = encode(pipe, Image.fromarray(grey), generator)
    begun = _begun(latents, anew[::factor, ::factor], request, generator)
    return {**start, "image": begun, "masked_image_latents": hidden}


def changes_by(request: Inpaint, scene: Scene, pipe: Any, done: float) -> Mapping[str, torch.Tensor]:
    """A `Changes`: what is redrawn from here on. Elsewhere the pipeline lays the original, with as much noise as the
    step has, into the latents: algorithm 1 of Differential Diffusion (https://arxiv.org/abs/2306.00950)."""
    redrawn = _redrawn(_strengths(request, scene, pipe.vae_scale_factor), done)
    return {"mask": torch.from_numpy(redrawn)[None, None]}


def _strengths(request: Inpaint, scene: Scene, factor: int) -> np.ndarray:
    """How strongly each latent, of `factor` pixels, is redrawn."""
    assert scene.strengths is not None
    part = Image.fromarray(scene.strengths).crop(scene.box).resize(_size(request), Image.Resampling.BOX)
    return masks.means(np.asarray(part), factor)


def _redrawn(strengths: np.ndarray, done: float) -> np.ndarray:
    """Which latents are redrawn once the share `done` of the steps is."""
    return strengths > 1 - done + TOLERANCE


def _enlarged(latents: np.ndarray, factor: int) -> np.ndarray:
    """Each as a square of `factor` pixels."""
    return latents.repeat(factor, axis=0).repeat(factor, axis=1)


def _seen(scene: Scene, size: tuple[int, int]) -> np.ndarray:
    """Which pixels of what the model sees, in (width, height) `size`, are redrawn at all."""
    touched = Image.fromarray((scene.covered > 0).astype(np.uint8) * 255).crop(scene.box)
    return np.asarray(touched if touched.size == size else touched.resize(size, Image.Resampling.BOX)) > 0


def _begun(latents: torch.Tensor, mask: np.ndarray, request: Inpaint, generator: torch.Generator) -> torch.Tensor:
    """The latents with what is masked as the request's content has it."""
    if request.content not in ("noise", "nothing"):
        return latents
    share = 1.0 if request.content == "noise" else 0.0
    begun = share * torch.randn(latents.shape, generator=generator)
    return torch.where(torch.from_numpy(mask).to(latents.device), begun.to(latents), latents)


def finished(scene: Scene, image: Image.Image) -> Drawn:
    """What the model drew, put into the picture."""
    left, top, right, bottom = scene.box
    patch = stretched(image, (right - left, bottom - top))
    result = masks.composited(scene.picture, patch, scene.box, scene.covered)
    return Drawn(result, (outside_line(masks.changed_outside(scene.picture, result, scene.covered)),))


def outside_line(pixels: int) -> str:
    return f"{pixels:,} px changed outside the mask"


def check(scene: Scene, path: Path) -> None:
    """Read a saved file back. Raises `OutsideChanged` if any pixel outside of the mask is not the original's."""
    with Image.open(path) as saved:
        changed = masks.changed_outside(scene.picture, saved, scene.covered)
    if changed:
        raise OutsideChanged(changed)
