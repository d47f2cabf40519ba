"""Sizes of pictures on the grid that models draw on. All (width, height) in pixels."""

from presets.fields import SIDE_MAXIMUM, SIDE_MINIMUM

NATIVE_AREAS = 4
"""A picture of more than so many native areas is not drawn at its own size unless asked: time and memory grow with the
square of it, and models repeat themselves."""


def following(
    picture: tuple[int, int], asked: tuple[int | None, int | None], native: tuple[int, int], grid: int
) -> tuple[int, int]:
    """The size to draw `picture` at: of the sides that are not `asked` for each as the picture's shape has it.

    With none asked for, it is the picture's size, or `NATIVE_AREAS` native areas where that is less.
    """
    width, height = picture
    if asked[0]:
        return asked[0], on_grid(asked[0] * height / width, grid)
    if asked[1]:
        return on_grid(asked[1] * width / height, grid), asked[1]
    scale = min(1.0, (NATIVE_AREAS * native[0] * native[1] / (width * height)) ** 0.5, SIDE_MAXIMUM / max(picture))
    scale = max(scale, SIDE_MINIMUM / min(picture))
    return on_grid(width * scale, grid), on_grid(height * scale, grid)


def shaped_as(
    picture: tuple[int, int], asked: tuple[int | None, int | None], native: tuple[int, int], grid: int
) -> tuple[int, int]:
    """As `following`, but with none asked for always the native area in the shape of `picture`."""
    if any(asked):
        return following(picture, asked, native, grid)
    scale = (native[0] * native[1] / (picture[0] * picture[1])) ** 0.5
    return on_grid(picture[0] * scale, grid), on_grid(picture[1] * scale, grid)


def on_grid(length: float, grid: int) -> int:
    """The multiple of `grid` next to `length` that a side may have."""
    return min(max(round(length / grid) * grid, SIDE_MINIMUM), SIDE_MAXIMUM)


def alike(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two sizes have the same shape, within 2 %."""
    return abs(one[0] * other[1] / (one[1] * other[0]) - 1) <= 0.02
