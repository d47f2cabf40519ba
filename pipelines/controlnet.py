"""ControlNet: words to pictures that follow others: outlines, depth, a pose."""

from pipelines.drawing import Work, draw
from pipelines.engine.context import Context
from pipelines.units import follow, names_of, resized_to
from presets.requests import ControlNet


def run(request: ControlNet, context: Context) -> None:
    """Make and save the pictures of a resolved request."""
    draw(
        request, context, Work(controls=names_of(request), during=follow(request, context, resized_to(request.canvas)))
    )
