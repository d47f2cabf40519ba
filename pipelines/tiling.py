"""A picture worked on in tiles whose seams fade into each other. Pure geometry: no models.

A span is (first, last) along one side, in pixels, the last not included.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy
from PIL import Image

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Strip:
    """A row or column of tiles, along one side: the `given` pixels of the picture, their `target` in the result, and
    between which pixels of that it fades in."""

    given: Span
    target: Span
    fade: Span


@dataclass(frozen=True, slots=True)
class Grid:
    """The columns and rows of tiles of a picture of `size`, for a result of size `result`, (width, height)."""

    size: tuple[int, int]
    result: tuple[int, int]
    columns: tuple[Strip, ...]
    rows: tuple[Strip, ...]

    def __len__(self) -> int:
        return len(self.columns) * len(self.rows)


def spans(length: int, tile: int, overlap: int) -> list[Span]:
    """Spans of `tile` pixels (all of `length` where that is less) that cover `length`, evenly placed; neighbours have
    at least `overlap` pixels in common, which is less than `tile`."""
    if length <= tile:
        return [(0, length)]
    count = math.ceil((length - overlap) / (tile - overlap))
    starts = [round(place * (length - tile) / (count - 1)) for place in range(count)]
    return [(start, start + tile) for start in starts]


def strips(length: int, tile: int, overlap: int, result: int) -> tuple[Strip, ...]:
    """The spans of `length` pixels with their places in `result` pixels. Each fades in over the middle half of what it
    has in common with the one before, so that the outer edge of neither is seen."""
    given = spans(length, tile, overlap)
    starts = [-(-start * result // length) for start, _ in given]
    stops = [stop * result // length for _, stop in given]
    stops = [max(stop, after) for stop, after in zip(stops, [*starts[1:], 0], strict=True)]  # no pixel between two
    common = [0, *(before - start for before, start in zip(stops, starts[1:], strict=False))]
    fades = [(shared // 4, shared - shared // 4) for shared in common]
    return tuple(map(Strip, given, zip(starts, stops, strict=True), fades))


def grid_of(size: tuple[int, int], tile: int, overlap: int, result: tuple[int, int]) -> Grid:
    columns, rows = (strips(length, tile, overlap, large) for length, large in zip(size, result, strict=True))
    return Grid(size, result, columns, rows)


def in_tiles(
    picture: Image.Image, grid: Grid, work: Callable[[Image.Image], Image.Image], canvas: Image.Image
) -> Iterator[int]:
    """Fill `canvas`, of the size of the result, with what `work` makes of the tiles of `picture`, row by row; gives how
    many tiles are done.

    What `work` makes may have any size; it is resampled to its place. `canvas` is whole once all is given.
    """
    done = 0
    for row in grid.rows:
        band = Image.new(picture.mode, (grid.result[0], row.target[1] - row.target[0]))
        for column in grid.columns:
            made = work(picture.crop((column.given[0], row.given[0], column.given[1], row.given[1])))
            piece = _fitted(made, column, row, grid)
            band.paste(piece, (column.target[0], 0), _mask(piece.size, column.fade, (0, 0)))
            done += 1
            if column is grid.columns[-1]:
                canvas.paste(band, (0, row.target[0]), _mask(band.size, (0, 0), row.fade))
            yield done


def _mask(size: tuple[int, int], fade_left: Span, fade_top: Span) -> Image.Image:
    """How much of a piece is seen, from 0 to 255."""
    across, down = (_ramp(length, fade) for length, fade in zip(size, (fade_left, fade_top), strict=True))
    return Image.fromarray(numpy.rint(numpy.outer(down, across) * 255).astype(numpy.uint8))


def _ramp(length: int, fade: Span) -> numpy.ndarray:
    first, last = fade
    if not last:
        return numpy.ones(length)
    return numpy.clip((numpy.arange(length) + 0.5 - first) / (last - first), 0, 1)


def _fitted(made: Image.Image, column: Strip, row: Strip, grid: Grid) -> Image.Image:
    """What was made of a tile in the size of its target, each pixel where the whole picture resampled has it."""
    left, right = _edges(column, grid.size[0] / grid.result[0], made.width)
    top, bottom = _edges(row, grid.size[1] / grid.result[1], made.height)
    wanted = column.target[1] - column.target[0], row.target[1] - row.target[0]
    if (made.size, left, top, right, bottom) == (wanted, 0, 0, made.width, made.height):
        return made
    return made.resize(wanted, Image.Resampling.LANCZOS, (left, top, right, bottom))


def _edges(strip: Strip, ratio: float, length: int) -> tuple[float, float]:
    """Which part of what was made of the strip's pixels, `length` pixels, its target shows."""
    scale = length / (strip.given[1] - strip.given[0])
    start, stop = ((edge * ratio - strip.given[0]) * scale for edge in strip.target)
    return max(start, 0.0), min(stop, float(length))
