"""ControlNet: words to pictures that follow others: outlines, depth, a pose."""

import functools
from contextlib import AbstractContextManager

from PIL import Image

from pipelines.control import Followed, as_numbers, following
from pipelines.drawing import Work, draw
from pipelines.engine.context import Context
from pipelines.engine.manager import Loaded
from pipelines.preprocess import control_picture
from pipelines.resizing import RESIZED
from presets.controlnet import ControlUnit
from presets.errors import renamed_field
from presets.inputs import on_white
from presets.requests import ControlNet


def run(request: ControlNet, context: Context) -> None:
    """Make and save the pictures of a resolved request."""
    pictures = [picture_of(unit, request.canvas, context) for unit in request.units]
    work = Work(
        controls=tuple(unit.control for unit in request.units),
        during=functools.partial(_followed, request, pictures),
    )
    draw(request, context, work)


def picture_of(unit: ControlUnit, size: tuple[int, int], context: Context) -> Image.Image:
    """The control picture of `unit` for pictures of (width, height) `size`."""
    assert unit.picture is not None
    given = on_white(context.inputs.open(unit.picture, "units"))
    resize = RESIZED[unit.resize_mode]
    with renamed_field("preprocessor", "units"):
        if unit.pixel_perfect:
            settings = unit.settings.model_copy(update={"resolution": None})
            return resize(control_picture(resize(given, size), settings, context), size)
        return resize(control_picture(given, unit.settings, context), size)


def _followed(request: ControlNet, pictures: list[Image.Image], loaded: Loaded) -> AbstractContextManager[None]:
    units = zip(request.units, pictures, strict=True)
    return following(
        loaded.pipe, [Followed(unit, loaded.controls[unit.control], as_numbers(picture)) for unit, picture in units]
    )
