"""Control picture: a given picture as a ControlNet would follow it."""

import time

from pipelines.engine.context import Context
from pipelines.preprocess import control_picture
from presets.control_picture import ControlPicture
from presets.inputs import on_white


def run(request: ControlPicture, context: Context) -> None:
    """Make and save the control picture of a settled request."""
    for index in context.remaining(1):
        started = time.perf_counter()
        made = control_picture(on_white(context.inputs.open(request.image)), request, context)
        seconds = {"preprocess": round(time.perf_counter() - started, 4)}
        context.save(index, made, request, seconds, {"device": context.policy.device})
