"""Pictures as numbers, to tell whether two are the same."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from presets.requests import TextToImage


def pixels(paths: Iterable[Path | str]) -> np.ndarray:
    """The pictures of `paths`, all of one size, as (pictures, height, width, 3)."""
    arrays = []
    for path in paths:
        with Image.open(path) as image:
            arrays.append(np.asarray(image.convert("RGB")))
    return np.stack(arrays)


def drawn(engine, request: TextToImage) -> np.ndarray:
    """The pictures that `engine` makes of `request`."""
    return pixels(saved.path for saved in engine.submit(request).result())
