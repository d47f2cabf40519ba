"""Preprocessors that need no weights.

Pictures are (height, width, 3) arrays of red, green and blue from 0 to 255, and so are the results, of the same size.
Canny, the plain line art and shuffle give the pixels of controlnet-aux's detectors; the scribble (a difference of
Gaussians) and the recolouring are those that the ControlNets for them were trained with.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import cv2
import numpy as np
from PIL import Image

from presets.preprocessors import PreprocessSettings

Pixels = np.ndarray
FAINT_EDGE = 16.0
"""Of 255, for the strongest edge of a picture: it is not made brighter than it is."""


def _canny(image: Pixels, settings: PreprocessSettings) -> Pixels:
    return _grey(cv2.Canny(image, settings.low_threshold, settings.high_threshold))


def _lineart(image: Pixels, settings: PreprocessSettings) -> Pixels:
    """How much darker each place is than what is around it, the median of the lines made half bright."""
    exact = image.astype(np.float32)
    darker = np.min(cv2.GaussianBlur(exact, (0, 0), settings.line_width) - exact, axis=2).clip(0, 255)
    lines = darker[darker > settings.line_contrast]
    return _grey(darker / max(16.0, float(np.median(lines)) if lines.size else 0.0) * 127)


def _softedge(image: Pixels, _: PreprocessSettings) -> Pixels:
    """The steepest change of any colour, after a slight blur; one in 200 places is full white."""
    smooth = cv2.GaussianBlur(image.astype(np.float32), (0, 0), 1.0)
    steps = [cv2.Sobel(smooth, cv2.CV_32F, *direction, ksize=3) for direction in ((1, 0), (0, 1))]
    steepness = np.hypot(*steps).max(axis=2) / 4
    return _grey(steepness / max(FAINT_EDGE, float(np.percentile(steepness, 99.5))) * 255)


def _scribble(image: Pixels, settings: PreprocessSettings) -> Pixels:
    fine, coarse = (cv2.GaussianBlur(image.astype(np.float32), (0, 0), radius) for radius in (0.5, 5.0))
    strokes = 2 * (coarse - fine).min(axis=2).clip(0, 255).astype(np.uint8).astype(int)
    return _grey(np.where(strokes > settings.scribble_threshold, 255, 0))


def _threshold(image: Pixels, settings: PreprocessSettings) -> Pixels:
    return _grey(np.where(np.asarray(Image.fromarray(image).convert("L")) >= settings.threshold, 255, 0))


def _invert(image: Pixels, _: PreprocessSettings) -> Pixels:
    return 255 - image


def _tile(image: Pixels, settings: PreprocessSettings) -> Pixels:
    """Each place as the mean of what is around it, smoothly drawn large again."""
    height, width = image.shape[:2]
    sides = max(1, round(width / settings.downscale)), max(1, round(height / settings.downscale))
    small = cv2.resize(image, sides, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def _blur(image: Pixels, settings: PreprocessSettings) -> Pixels:
    return cv2.GaussianBlur(image, (0, 0), settings.blur_radius)


def _shuffle(image: Pixels, settings: PreprocessSettings) -> Pixels:
    """Each place shows the colour of another, which changes slowly from place to place."""
    height, width = image.shape[:2]
    random = np.random.RandomState(np.array(divmod(settings.shuffle_seed, 2**32)[::-1], np.uint32))  # never changes
    columns = _waves(random, height, width) * float(width - 1)
    rows = _waves(random, height, width) * float(height - 1)
    return cv2.remap(image, columns.astype(np.float32), rows.astype(np.float32), cv2.INTER_LINEAR)


def _waves(random: np.random.RandomState, height: int, width: int, length: int = 256) -> Pixels:
    """Smooth noise from 0 to 1 as (height, width), whose waves are some `length` pixels long."""
    noise = random.uniform(0, 1, (height // length + 2, width // length + 2, 1))
    smooth = cv2.resize(noise, (width + 2 * length, height + 2 * length), interpolation=cv2.INTER_CUBIC)
    within = smooth[length : length + height, length : length + width]
    return (within - within.min()) / (within - within.min()).max()


def _luminance(image: Pixels, settings: PreprocessSettings) -> Pixels:
    return _grey(np.rint((cv2.cvtColor(image, cv2.COLOR_RGB2LAB)[:, :, 0] / 255) ** settings.gamma * 255))


def _intensity(image: Pixels, settings: PreprocessSettings) -> Pixels:
    return _grey(np.rint((image.max(axis=2) / 255) ** settings.gamma * 255))


def _grey(values: Pixels) -> Pixels:
    """One number for each place, as a grey picture."""
    return np.repeat(values.clip(0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def _unchanged(image: Pixels, _: PreprocessSettings) -> Pixels:
    return image


FILTERS: Mapping[str, Callable[[Pixels, PreprocessSettings], Pixels]] = MappingProxyType(
    {
        "none": _unchanged,
        "canny": _canny,
        "lineart": _lineart,
        "softedge": _softedge,
        "scribble": _scribble,
        "threshold": _threshold,
        "invert": _invert,
        "tile": _tile,
        "blur": _blur,
        "shuffle": _shuffle,
        "recolor-luminance": _luminance,
        "recolor-intensity": _intensity,
    }
)
"""Preprocessor -> what does it: every one of the table that needs no weights."""
