"""Upscale: a picture made larger, drawn anew there tile by tile and its faces restored if that is asked for."""

import time
from collections import Counter

from pipelines.engine.context import Context
from pipelines.enlarging import Way, enlarge
from pipelines.faces import restore_faces
from pipelines.redrawing import redraw
from presets.upscale import Upscale


def run(request: Upscale, context: Context) -> None:
    """Make and save the picture of a settled request."""
    for index in context.remaining(1):
        given = context.inputs.open(request.image)
        started = time.perf_counter()
        made = enlarge(given, request.picture_size, Way(request.upscaler, request.tile, request.overlap), context)
        timings = Counter({"load": made.loading, "upscale": time.perf_counter() - started - made.loading})
        image, about = made.image, made.about
        if request.is_redrawn:
            redrawn = redraw(image, request, context)
            timings.update(redrawn.timings)
            image, about = redrawn.image, {**about, **redrawn.about}
        notes = ()
        if request.restores_faces:
            restored = restore_faces(image, request.face_restorer, request.face_strength, context)
            timings.update(restored.timings)
            image, about, notes = restored.image, {**about, **restored.about}, (restored.note,)
        rounded = {name: round(seconds, 4) for name, seconds in timings.items()}
        context.save(index, image, request, rounded, about, notes)
