"""Control units at work, for all tasks that follow any: their pictures made, and followed while something is drawn."""

import functools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from PIL import Image

from pipelines.control import Followed, as_numbers, following
from pipelines.drawing import During
from pipelines.engine.context import Context
from pipelines.engine.manager import Loaded
from pipelines.preprocess import control_picture
from pipelines.resizing import RESIZED
from presets.controlnet import ControlUnit, Following
from presets.errors import renamed_field
from presets.inputs import on_white

Fit = Callable[[Image.Image, str], Image.Image]
"""Brings a picture (RGB) to what is drawn, by a resize mode."""


@dataclass(frozen=True, slots=True)
class Own:
    """The picture (RGB) that is drawn on, which units without one of their own follow, and its resize mode."""

    image: Image.Image
    resize_mode: str = "stretch"


def follow(request: Following, context: Context, fit: Fit, own: Own | None = None) -> During:
    """What follows the units of a resolved request. Their pictures are made now: detectors go before the checkpoint."""
    pictures = [picture_of(unit, context, fit, own) for unit in request.units]
    return functools.partial(_followed, request.units, pictures)


def names_of(request: Following) -> tuple[str, ...]:
    """The control models that the units of a resolved request take."""
    return tuple(unit.control for unit in request.units)


def resized_to(size: tuple[int, int]) -> Fit:
    """A `Fit` to (width, height) `size`."""
    return lambda image, mode: RESIZED[mode](image, size)


def picture_of(unit: ControlUnit, context: Context, fit: Fit, own: Own | None = None) -> Image.Image:
    """The control picture of `unit`, as `fit` brings it to what is drawn."""
    if unit.picture is None:
        assert own
        given, mode = own.image, own.resize_mode
    else:
        given, mode = on_white(context.inputs.open(unit.picture, "units")), unit.resize_mode
    with renamed_field("preprocessor", "units"):
        if unit.pixel_perfect:
            fitted = fit(given, mode)
            settings = unit.settings.model_copy(update={"resolution": None})
            return RESIZED[mode](control_picture(fitted, settings, context), fitted.size)
        return fit(control_picture(given, unit.settings, context), mode)


def _followed(
    units: Sequence[ControlUnit], pictures: Sequence[Image.Image], loaded: Loaded
) -> AbstractContextManager[None]:
    each = zip(units, pictures, strict=True)
    return following(
        loaded.pipe, [Followed(unit, loaded.controls[unit.control], as_numbers(picture)) for unit, picture in each]
    )
