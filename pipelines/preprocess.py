"""Pictures made into control pictures, by whatever preprocessor is asked for."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from pipelines import detectors
from pipelines.detectors import DETECTORS, Pixels
from pipelines.engine.components import CheckpointKey
from pipelines.engine.context import Context
from pipelines.engine.jobs import Loading
from pipelines.engine.model import identity_of
from pipelines.filters import FILTERS
from pipelines.resizing import stretched
from presets.control_pictures import key_of
from presets.preprocessors import PREPROCESSORS, PreprocessSettings


def control_picture(image: Image.Image, settings: PreprocessSettings, context: Context) -> Image.Image:
    """The control picture (RGB) of `image` (RGB), in the size `settings.size_for(image.size)`. The same picture and
    settings give the same pixels; one that was made before is not made again.

    Raises `PreprocessorMissing` where weights are neither here nor to be had, `PreprocessorRefused` for weights that
    cannot be used, and `Cancelled`.
    """
    context.check()
    sized = stretched(image, settings.size_for(image.size))
    if settings.preprocessor == "none":
        return sized
    paths, work = _work(settings, context)
    before = context.control_pictures
    key = key_of(sized, {"preprocessor": settings.preprocessor, **settings.parameters, "files": _identity(paths)})
    known = before.get(key) if before else None
    made = known or Image.fromarray(work(np.asarray(sized)))
    if before and known is None:
        before.put(key, made)
    return made


def _work(settings: PreprocessSettings, context: Context) -> tuple[tuple[Path, ...], Callable[[Pixels], Pixels]]:
    """The files that are needed, which are here then, and what makes the picture."""
    name = settings.preprocessor
    if name in FILTERS:
        return (), lambda image: FILTERS[name](image, settings)
    paths = context.models.annotators.fetch(name, context.report)
    return paths, lambda image: _looked_at(image, paths, settings, context)


def _looked_at(image: Pixels, paths: tuple[Path, ...], settings: PreprocessSettings, context: Context) -> Pixels:
    detector, title = DETECTORS[settings.preprocessor], PREPROCESSORS[settings.preprocessor].title

    def load() -> detectors.Parts:
        context.report(Loading(what=title))
        return detectors.build(detector, paths)

    source = CheckpointKey(" ".join(map(str, paths)), _identity(paths), "float32")
    with context.models.tool(source, f"{title} (preprocessor)", load) as parts:
        context.check()
        return detectors.look(detector, parts, image, settings)


def _identity(paths: tuple[Path, ...]) -> str:
    return identity_of(iter(paths))
