"""A painted house and where it stands: what preprocessors are asked about."""

import numpy as np
from PIL import Image

from training.painter import paint
from training.words import Scene, Thing

SEED = 7


def house(size: int = 128) -> Image.Image:
    """A red house on a meadow by day."""
    return paint(Scene((Thing("house", "red", "middle"),), "day", "meadow", frozenset()), seed=SEED, size=size)


def covered(size: int = 128) -> np.ndarray:
    """Where the house is, as (height, width) of bool: where the same scene without it looks otherwise."""
    without = paint(Scene((), "day", "meadow", frozenset()), seed=SEED, size=size)
    return np.abs(np.asarray(house(size)).astype(int) - np.asarray(without)).sum(axis=2) > 40


def outline(size: int = 128) -> np.ndarray:
    """The places of the house that have one beside them which is not the house's."""
    inside = covered(size)
    inner = inside.copy()
    for axis in (0, 1):
        for step in (1, -1):
            inner &= np.roll(inside, step, axis)
    return inside & ~inner


def near(places: np.ndarray, distance: int) -> np.ndarray:
    """What is at most `distance` pixels from any of `places`, along each side."""
    grown = places.copy()
    for across in range(-distance, distance + 1):
        for down in range(-distance, distance + 1):
            grown |= np.roll(places, (down, across), (0, 1))
    return grown
