"""A larger picture drawn anew by a checkpoint, tile by tile, each at a size that the model knows."""

import contextlib
import functools
import io
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image

from pipelines.control import Followed, as_numbers, following
from pipelines.denoise import Watch, denoise, encode, is_flow
from pipelines.drawing import about_drawing, conditioning_of, decoded, latent_map_of, warn_of
from pipelines.engine.context import Context
from pipelines.engine.families import FAMILIES
from pipelines.engine.jobs import Progress
from pipelines.engine.manager import Loaded
from pipelines.engine.preview import PREVIEW_SIDE, jpeg
from pipelines.resizing import continued
from pipelines.tiling import Grid, grid_of, in_tiles
from presets.controlnet import ControlUnit
from presets.fields import SIDE_MINIMUM
from presets.upscale import Tile, Upscale

BROAD = 1 / 16
"""Share of a tile's side over which colours count as broad."""
COARSE = 4.0
"""Pixels to which that is brought to find them."""


@dataclass(frozen=True, slots=True)
class Redrawn:
    """A picture drawn anew, what else made it what it is, and the seconds of each part of the work."""

    image: Image.Image
    about: Mapping[str, Any]
    timings: Mapping[str, float]


def redraw(picture: Image.Image, request: Upscale, context: Context) -> Redrawn:
    """`picture` (RGB or RGBA) drawn anew as a settled request has it; alpha stays. Each step of each tile is reported.

    Tile `number`, row by row from 0, has the seed that comes so many after the request's.
    """
    tile = request.tile_drawing()
    assert tile and tile.width
    controls = (request.tile_control,) if request.tile_control else ()
    with context.models.pipeline(
        tile.checkpoint,
        tile.kind,
        loras=tile.all_loras,
        vae=tile.vae,
        controls=controls,
        size=tile.canvas,
        report=context.report,
    ) as loaded:
        warn_of(tile, loaded, context)
        started = time.perf_counter()
        grid = grid_of(picture.size, tile.width, request.redraw_common, picture.size)
        image = _Redrawing(request, tile, loaded, context, grid).image(picture.convert("RGB"))
        if picture.mode == "RGBA":
            image.putalpha(picture.getchannel("A"))
        timings = {"load": loaded.seconds, "adapters": loaded.adapters.seconds, "redraw": time.perf_counter() - started}
        return Redrawn(image, about_drawing(loaded, loaded.switch, context), timings)


def coloured_as(made: Image.Image, given: Image.Image, reach: float) -> Image.Image:
    """`made` (RGB) with its colours as they are in the mean of some `reach` pixels around (a Gaussian's deviation)
    replaced by those of `given`, of the same size."""
    new, old = (np.asarray(image, np.float32) for image in (made, given))
    coarser = max(1, int(reach / COARSE))  # what is so broad is as well seen in a smaller picture
    size = -(-made.width // coarser), -(-made.height // coarser)
    change = cv2.resize(old - new, size, interpolation=cv2.INTER_AREA)
    change = cv2.GaussianBlur(change, (0, 0), reach / coarser, borderType=cv2.BORDER_REFLECT_101)
    change = cv2.resize(change, made.size, interpolation=cv2.INTER_LINEAR)
    return Image.fromarray(np.clip(np.rint(new + change), 0, 255).astype(np.uint8))


class _Redrawing:
    """One picture on its way."""

    def __init__(self, request: Upscale, tile: Tile, loaded: Loaded, context: Context, grid: Grid):
        self._request, self._tile = request, tile
        self._loaded, self._context, self._grid = loaded, context, grid
        self._conditioning = conditioning_of(tile, loaded, context)
        self._boxes = [
            (column.target[0], row.target[0], column.target[1], row.target[1])
            for row in grid.rows
            for column in grid.columns
        ]
        self._done = 0
        self._started = time.perf_counter()

    def image(self, picture: Image.Image) -> Image.Image:
        """`picture` (RGB) drawn anew."""
        self._scale = max(1, -(-max(picture.size) // PREVIEW_SIDE))
        self._shown = picture.reduce(self._scale)
        canvas = picture.copy()
        for done in in_tiles(picture, self._grid, self._drawn, canvas):
            self._done = done
        return canvas

    def _drawn(self, given: Image.Image) -> Image.Image:
        """A tile drawn anew, in its own size; what models draw is larger where that is too small for them or between
        two sizes."""
        grid = FAMILIES[self._loaded.model.family].grid
        width, height = (max(SIDE_MINIMUM, -(-side // grid) * grid) for side in given.size)
        whole = continued(given, (width, height))
        tile = self._tile.picture(self._done).model_copy(update={"width": width, "height": height})
        policy = self._context.policy
        latent_map = latent_map_of(self._loaded) if policy.preview_interval else None
        watch = Watch(self._report, latent_map=latent_map, preview_interval=policy.preview_interval)
        with self._held_to(whole):
            begin = functools.partial(_from_tile, whole)
            latents = denoise(self._loaded.pipe, self._conditioning, tile, watch, begin)
        made = decoded(latents, tile, self._loaded, self._context).crop((0, 0, *given.size))
        if self._request.keep_colours:
            made = coloured_as(made, given, max(self._tile.canvas) * BROAD)
        left, top, _, _ = self._boxes[self._done]
        self._shown.paste(made.reduce(self._scale), (left // self._scale, top // self._scale))
        return made

    def _held_to(self, given: Image.Image) -> AbstractContextManager[None]:
        name = self._request.tile_control
        if not name:
            return contextlib.nullcontext()
        unit = ControlUnit(control=name, weight=self._request.tile_control_weight, union_type="tile")
        return following(self._loaded.pipe, [Followed(unit, self._loaded.controls[name], as_numbers(given))])

    def _report(self, event: Progress) -> None:
        """Tell of one tile's step as of one of all tiles'."""
        step, steps = self._done * event.steps + event.step, len(self._grid) * event.steps
        seconds = time.perf_counter() - self._started
        changes = {
            "step": step,
            "steps": steps,
            "seconds": seconds,
            "remaining": seconds / step * (steps - step),
            "preview": self._preview(event.preview) if event.preview else None,
        }
        self._context.report(event.model_copy(update=changes))

    def _preview(self, of_tile: bytes) -> bytes:
        """The whole picture as it is so far, small, with what is foreseen of the present tile."""
        shown = self._shown.copy()
        with Image.open(io.BytesIO(of_tile)) as foreseen:
            part = foreseen.convert("RGB")
        left, top, right, bottom = (edge // self._scale for edge in self._boxes[self._done])
        part = part.resize((max(1, right - left), max(1, bottom - top)))
        if self._request.keep_colours:
            below = shown.crop((left, top, left + part.width, top + part.height))
            part = coloured_as(part, below, max(part.size) * BROAD)
        shown.paste(part, (left, top))
        return jpeg(shown)


def _from_tile(given: Image.Image, pipe: Any, tile: Tile, generator: torch.Generator) -> Mapping[str, Any]:
    """A `Begin`: the latents of `given`, which has the tile's size."""
    shape = {"width": tile.width, "height": tile.height} if is_flow(pipe) else {}
    return {"image": encode(pipe, given, generator), "strength": tile.strength, **shape}
