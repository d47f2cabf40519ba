"""Pictures brought to another size. All sizes are (width, height) in pixels; what has the size already is unchanged."""

import numpy as np
from PIL import Image, ImageOps

LANCZOS = Image.Resampling.LANCZOS


def cropped(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """`image` covering `size`, what is over cut off evenly."""
    return image if image.size == size else ImageOps.fit(image, size, LANCZOS)


def stretched(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    return image if image.size == size else image.resize(size, LANCZOS)


def filled(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """`image` whole within `size`, what is missing filled with the colours of its edges."""
    inner = ImageOps.contain(image, size, LANCZOS) if image.size != size else image
    left, top = (size[0] - inner.width) // 2, (size[1] - inner.height) // 2
    right, bottom = size[0] - inner.width - left, size[1] - inner.height - top
    return Image.fromarray(np.pad(np.asarray(inner), ((top, bottom), (left, right), (0, 0)), mode="edge"))


def continued(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """`image` at the left and top of `size`, which is no smaller, its last colours going on at the right and bottom."""
    right, bottom = size[0] - image.width, size[1] - image.height
    if not right and not bottom:
        return image
    return Image.fromarray(np.pad(np.asarray(image), ((0, bottom), (0, right), (0, 0)), mode="edge"))


RESIZED = {"crop": cropped, "stretch": stretched, "fill": filled}
"""Resize mode -> what does it."""
