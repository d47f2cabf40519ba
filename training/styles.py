"""Other looks for the picture book: each turns a painted scene into one of another style, for things to swap to."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy
from PIL import Image, ImageChops, ImageEnhance, ImageFilter, ImageOps

PIXEL = 8
"""Side of a pixel-art block, in pixels of a 128 px picture."""


def neon(picture: Image.Image) -> Image.Image:
    """Glowing outlines in the dark, in the colours of what they outline."""
    dark = picture.point(lambda value: value // 6)
    bright = ImageEnhance.Color(picture).enhance(2.2).point(lambda value: min(255, value * 3 // 2 + 60))
    lines = _outlines(picture).point(lambda value: min(255, value * 3)).filter(ImageFilter.MaxFilter(3))
    drawn = ImageChops.multiply(bright, Image.merge("RGB", [lines] * 3))
    return ImageChops.screen(ImageChops.screen(dark, drawn), drawn.filter(ImageFilter.GaussianBlur(4)))


def pixel_art(picture: Image.Image) -> Image.Image:
    """Blocks of `PIXEL` pixels in strong colours of few levels."""
    side = picture.width // PIXEL
    small = ImageEnhance.Contrast(picture.resize((side, side), Image.Resampling.BOX)).enhance(1.3)
    return ImageOps.posterize(small, 3).resize(picture.size, Image.Resampling.NEAREST)


def pencil(picture: Image.Image) -> Image.Image:
    """Grey lines and light shading on white paper."""
    grey = picture.convert("L")
    shade = grey.point(lambda value: 190 + value // 4)
    lines = _outlines(picture).point(lambda value: max(0, 255 - value * 3))
    return ImageChops.multiply(shade, lines).convert("RGB")


STYLES: Mapping[str, Callable[[Image.Image], Image.Image]] = MappingProxyType(
    {"neon": neon, "pixel-art": pixel_art, "pencil": pencil}
)


def _outlines(picture: Image.Image) -> Image.Image:
    """The largest change of any channel to the right or downwards, 8 bit."""
    values = numpy.asarray(picture.filter(ImageFilter.GaussianBlur(0.6))).astype(numpy.int16)
    right = numpy.abs(numpy.diff(values, axis=1, append=values[:, -1:])).max(axis=2)
    down = numpy.abs(numpy.diff(values, axis=0, append=values[-1:])).max(axis=2)
    return Image.fromarray(numpy.maximum(right, down).clip(0, 255).astype(numpy.uint8))
