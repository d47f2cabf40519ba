"""Upscale: a picture made larger."""

import time

from pipelines.engine.context import Context
from pipelines.enlarging import Way, enlarge
from presets.upscale import Upscale


def run(request: Upscale, context: Context) -> None:
    """Make and save the picture of a settled request."""
    for index in context.remaining(1):
        given = context.inputs.open(request.image)
        started = time.perf_counter()
        made = enlarge(given, request.picture_size, Way(request.upscaler, request.tile, request.overlap), context)
        timings = {"load": made.loading, "upscale": time.perf_counter() - started - made.loading}
        rounded = {name: round(seconds, 4) for name, seconds in timings.items()}
        context.save(index, made.image, request, rounded, made.about)
