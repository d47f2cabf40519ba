"""Masks: what is redrawn and how it fades, where the model looks, and how the new is put into the old.

Masks are arrays (height, width). Boxes are (left, top, right, bottom) in pixels, as Pillow's.
"""

from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

Box = tuple[int, int, int, int]

FAINT = 1 / 8
"""What is redrawn less strongly than this is only partly seen."""

RING = 8
"""Pixels around the redrawn part by which its colours are matched."""
SHIFT_LIMIT = 24.0
"""Levels of 255 that the colours are shifted at most: more is no fault of the model's but what was asked for."""


def coverage(painted: np.ndarray, grow: int, feather: int) -> np.ndarray:
    """How much of each pixel is new, float32 in [0, 1].

    1 where `painted` (bool) and up to `grow` pixels around, then smoothly less, and exactly 0 from `feather` + 1 pixels
    beyond that on. Distances are Euclidean.
    """
    covered = np.zeros(painted.shape, np.float32)
    box = bounds(painted, grow + feather + 1)
    if box is None:
        return covered
    left, top, right, bottom = box
    part = painted[top:bottom, left:right]
    distances: Any = ndimage.distance_transform_edt(~part)
    rest = 1 - np.clip((distances - grow) / (feather + 1), 0, 1)
    covered[top:bottom, left:right] = rest * rest * (3 - 2 * rest)
    return covered


def spread(levels: np.ndarray, covered: np.ndarray) -> np.ndarray:
    """How strongly each pixel is redrawn, float32 in [0, 1]: where `levels` is over 0 as it says, elsewhere as the
    nearest such place, fading as `covered` (their `coverage`) does."""
    strengths = np.zeros(levels.shape, np.float32)
    box = bounds(covered, 0)
    if box is None:
        return strengths
    left, top, right, bottom = box
    part = levels[top:bottom, left:right]
    nearest: Any = ndimage.distance_transform_edt(part == 0, return_distances=False, return_indices=True)
    strengths[top:bottom, left:right] = part[tuple(nearest)] * covered[top:bottom, left:right]
    return strengths


def shown(strengths: np.ndarray) -> np.ndarray:
    """How much of each pixel is new where it is redrawn by `strengths`: all, but for what is hardly redrawn, so that it
    fades into what is not. 0 just where they are."""
    rest = np.clip(strengths / FAINT, 0, 1)
    return rest * rest * (3 - 2 * rest)


def bounds(mask: np.ndarray, margin: int) -> Box | None:
    """The box of what is not 0, with `margin` pixels around as far as there are any; None where all is 0."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    height, width = mask.shape
    return (
        max(int(columns[0]) - margin, 0),
        max(int(rows[0]) - margin, 0),
        min(int(columns[-1]) + 1 + margin, width),
        min(int(rows[-1]) + 1 + margin, height),
    )


def shaped(box: Box, size: tuple[int, int], within: tuple[int, int]) -> Box:
    """`box` widened or heightened to the shape of `size` (width, height), moved and cut to lie in a picture of
    (width, height) `within`."""
    left, top, right, bottom = box
    width = max(right - left, round((bottom - top) * size[0] / size[1]))
    height = max(bottom - top, round((right - left) * size[1] / size[0]))
    left, right = _moved(left, right, min(width, within[0]), within[0])
    top, bottom = _moved(top, bottom, min(height, within[1]), within[1])
    return left, top, right, bottom


def _moved(first: int, last: int, length: int, limit: int) -> tuple[int, int]:
    """A span of `length` around the middle of the one from `first` to `last`, inside of 0 to `limit`."""
    start = min(max((first + last - length) // 2, 0), limit - length)
    return start, start + length


def in_blocks(mask: np.ndarray, size: int) -> np.ndarray:
    """`mask` in squares of `size` pixels, each wholly what any of its pixels is: as latents see it."""
    height, width = mask.shape
    blocks = mask.reshape(height // size, size, width // size, size).max(axis=(1, 3))
    return blocks.repeat(size, axis=0).repeat(size, axis=1)


def means(values: np.ndarray, size: int) -> np.ndarray:
    """The mean of each square of `size` pixels."""
    height, width = values.shape
    return values.reshape(height // size, size, width // size, size).mean(axis=(1, 3))


def filled_in(image: Image.Image, mask: np.ndarray) -> Image.Image:
    """`image` (RGB) with what is masked (bool) replaced by the colours around, ever softer inwards."""
    if mask.all():
        return image
    nearest: Any = ndimage.distance_transform_edt(mask, return_distances=False, return_indices=True)
    pixels = np.asarray(image)
    around = pixels[tuple(nearest)]
    depth = max(min(mask.shape) // 16, 1)
    soft = np.stack([ndimage.uniform_filter(around[..., channel], depth) for channel in range(3)], axis=-1)
    return Image.fromarray(np.where(mask[..., None], soft, pixels).astype(np.uint8))


def matched(patch: np.ndarray, original: np.ndarray, covered: np.ndarray) -> np.ndarray:
    """`patch` (float, RGB) with its colours shifted evenly, so that in a ring around what is covered, where it should
    be the `original` again, it is so in the mean."""
    seen = covered > 0
    ring = np.asarray(ndimage.binary_dilation(seen, iterations=RING), bool) & ~seen
    if not ring.any():
        return patch
    shift = original[ring].astype(np.float32).mean(axis=0) - patch[ring].mean(axis=0)
    return patch + np.clip(shift, -SHIFT_LIMIT, SHIFT_LIMIT)


def composited(original: Image.Image, patch: Image.Image, box: Box, covered: np.ndarray) -> Image.Image:
    """`original` (RGB or RGBA) with `patch`, which lies at `box`, as far as `covered` says; there it becomes opaque.

    Where `covered` is 0, the pixels are the original's.
    """
    left, top, right, bottom = box
    result = np.array(original)
    inside = covered[top:bottom, left:right]
    old = result[top:bottom, left:right]
    share = inside[..., None]
    below = old[..., :3].astype(np.float32)
    if old.shape[-1] == 4:
        opaque = old[..., 3:].astype(np.float32) / 255
        below = below * opaque + 255 * (1 - opaque)
    new = matched(np.asarray(patch, np.float32), below, inside)
    mixed = np.clip(np.rint(below * (1 - share) + new * share), 0, 255).astype(np.uint8)
    touched = inside > 0
    old[..., :3][touched] = mixed[touched]
    if old.shape[-1] == 4:
        old[..., 3][touched] = 255
    return Image.fromarray(result)


def changed_outside(original: Image.Image, result: Image.Image, covered: np.ndarray) -> int:
    """How many pixels differ where `covered` is 0. A picture without alpha counts as opaque."""
    before, after = (np.asarray(image.convert("RGBA")) for image in (original, result))
    return int(((before != after).any(axis=-1) & (covered == 0)).sum())
