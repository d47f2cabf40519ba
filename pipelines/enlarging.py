"""Pictures made larger, for all tasks that need it: by a model in tiles, or by plain resampling."""

import time
from dataclasses import dataclass, field
from typing import Any

import torch
from PIL import Image

from pipelines.engine.context import Context
from pipelines.engine.jobs import Progress
from pipelines.engine.out_of_memory import is_out_of_memory
from pipelines.engine.pace import Pace
from pipelines.engine.preview import PREVIEW_SIDE, jpeg
from pipelines.engine.upscalers import Upscaler
from pipelines.tiling import Grid, grid_of, in_tiles
from presets.upscale_fields import RESAMPLERS

SMALLEST_TILE = 64

Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Way:
    """How a picture is made larger: by the model or the resampling `upscaler`, in tiles of `tile` pixels with `overlap`
    in common."""

    upscaler: str
    tile: int
    overlap: int


@dataclass(frozen=True, slots=True)
class Enlarged:
    """A larger picture, what made it, and the seconds that its model was waited for."""

    image: Image.Image
    about: dict[str, Any] = field(default_factory=dict)
    loading: float = 0.0


def enlarge(picture: Image.Image, size: Size, way: Way, context: Context) -> Enlarged:
    """`picture` (RGB or RGBA) at (width, height) `size`. Each tile is reported, with a preview now and then.

    A model is used as often as it takes to reach the size; what is too much is resampled. Alpha is made larger apart.
    Where memory runs out smaller tiles are taken, and told.
    """
    if way.upscaler in RESAMPLERS:
        return Enlarged(picture.resize(size, Image.Resampling[way.upscaler.upper()]))
    with context.models.upscaler(way.upscaler, context.report) as upscaler:
        image = _Enlarging(upscaler, way, context).image(picture, size)
        return Enlarged(image, upscaler.about, upscaler.seconds)


def passes(size: Size, wanted: Size, scale: int) -> list[Size]:
    """The sizes that a model which makes pictures `scale` times as large goes through from `size` to `wanted`."""
    sizes = []
    while scale > 1 and size[0] * scale < wanted[0] and size[1] * scale < wanted[1]:
        size = size[0] * scale, size[1] * scale
        sizes.append(size)
    return [*sizes, wanted]


class _Enlarging:
    """One picture on its way."""

    def __init__(self, upscaler: Upscaler, way: Way, context: Context):
        self._upscaler = upscaler
        self._tile, self._overlap = way.tile, way.overlap
        self._context = context
        self._pace = Pace(context.policy.preview_interval)
        self._started = time.perf_counter()
        self._done = 0
        self._to_come: list[tuple[Size, Size]] = []
        """From which size to which, the present pass first."""

    def image(self, picture: Image.Image, wanted: Size) -> Image.Image:
        sizes = [picture.size, *passes(picture.size, wanted, self._upscaler.scale)]
        layers = [picture.convert("RGB")]
        if picture.mode == "RGBA":
            alpha = picture.getchannel("A")
            layers.append(Image.merge("RGB", (alpha, alpha, alpha)))
        self._to_come = list(zip(sizes, sizes[1:], strict=False)) * len(layers)
        colours, *rest = [self._through(layer, sizes[1:]) for layer in layers]
        for alpha in rest:
            colours.putalpha(alpha.convert("L"))
        return colours

    def _through(self, layer: Image.Image, sizes: list[Size]) -> Image.Image:
        for size in sizes:
            layer = self._passed(layer, size)
            self._to_come.pop(0)
        return layer

    def _passed(self, picture: Image.Image, size: Size) -> Image.Image:
        """`picture` through the model once, with smaller tiles as long as memory runs out."""
        while True:
            try:
                return self._tiled(picture, size)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or not self._can_be_smaller(picture):
                    raise
            if self._upscaler.descriptor.device.type == "cuda":
                torch.cuda.empty_cache()  # what the failed attempt had: its error is gone by now
            self._take_smaller_tiles(picture)

    def _tiled(self, picture: Image.Image, size: Size) -> Image.Image:
        canvas = picture.resize(size, Image.Resampling.BILINEAR)
        before = self._done
        steps = before + sum(len(self._grid(*sizes)) for sizes in self._to_come)
        try:
            for done in in_tiles(picture, self._grid(picture.size, size), self._work, canvas):
                self._done = before + done
                self._report(steps, canvas)
        except BaseException:
            self._done = before
            raise
        return canvas

    def _grid(self, size: Size, wanted: Size) -> Grid:
        tile, overlap = (self._tile, self._overlap) if self._upscaler.can_be_tiled else (max(size), 0)
        return grid_of(size, tile, overlap, wanted)

    def _work(self, tile: Image.Image) -> Image.Image:
        return self._upscaler.enlarge(tile, self._context.check)

    def _can_be_smaller(self, picture: Image.Image) -> bool:
        return self._upscaler.can_be_tiled and min(self._tile, max(picture.size)) > SMALLEST_TILE

    def _take_smaller_tiles(self, picture: Image.Image) -> None:
        before = min(self._tile, max(picture.size))
        self._tile = max(SMALLEST_TILE, before // 2)
        self._overlap = min(self._overlap, self._tile // 2)
        self._context.warn(f"Memory ran out with tiles of {before} pixels; they were made {self._tile} pixels large.")

    def _report(self, steps: int, canvas: Image.Image) -> None:
        seconds = time.perf_counter() - self._started
        self._context.report(
            Progress(
                picture=1,
                pictures=1,
                step=self._done,
                steps=steps,
                seconds=seconds,
                remaining=seconds / self._done * (steps - self._done),
                preview=self._preview(canvas),
            )
        )

    def _preview(self, canvas: Image.Image) -> bytes | None:
        """What there is so far: the rows that are not made yet are only stretched."""
        if not self._context.policy.preview_interval or not self._pace.due():
            return None
        return jpeg(canvas.reduce(-(-max(canvas.size) // PREVIEW_SIDE)))
