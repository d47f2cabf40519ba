"""Thumbnails of the built-in presets, drawn by the program itself.

    python -m training.make_thumbnails [KIND ...]

Draws each preset for what ships or that needs no weights at all, and puts a WebP of 128 pixels beside its file; those
for other checkpoints as the starter can show what they do (`stand_ins.py`), if it can.
Presets of kinds that are given a picture are given what the first one of text to image draws, with a mask over its
middle unless they extend it. Control units are given its outlines, as a drawing on paper where they are to be inverted,
or the picture itself where they look for outlines of their own. Of a picture made larger a part is shown, its left
half as it was.
"""

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageOps

from pipelines.engine.local import LocalEngine
from presets.checks import parse
from presets.library import BUILTIN, THUMBNAIL_SIDE, Library, Preset, thumbnail_of
from presets.preprocessors import PREPROCESSORS
from presets.requests import KINDS
from presets.settings import Settings
from presets.upscale_fields import RESAMPLERS
from training.stand_ins import STAND_INS

SHIPPED = {"storybook", "storybook-x2", *RESAMPLERS}
GIVEN = ("text-to-image", "01-house")
WINDOW = 0.36, 0.68
"""Where the house has a window, as shares of the picture's sides."""
MASKED = 0.08, 0.2, 0.95, 0.9
"""Left, top, right and bottom of the mask, as shares of the picture."""


def drawable(kinds: list[str]) -> list[Preset]:
    """Built-in presets for what ships, those that need no weights, and those that the starter can show."""
    presets = [preset for kind in kinds for preset in Library().presets(kind)]
    return [preset for preset in presets if _made_with(preset) in SHIPPED or _is_plain(preset) or _stand_in(preset)]


def _stand_in(preset: Preset) -> Mapping[str, Any]:
    return STAND_INS.get((preset.kind, preset.name), {})


def _made_with(preset: Preset) -> object:
    return preset.values.get("checkpoint", preset.values.get("upscaler"))


def _is_plain(preset: Preset) -> bool:
    """Whether it makes control pictures by a filter."""
    row = PREPROCESSORS.get(preset.values.get("preprocessor", ""))
    return preset.kind == "control-picture" and row is not None and row.weights is None


def draw(engine: LocalEngine, preset: Preset, pictures: dict[str, Any]) -> Path:
    """The picture that `preset` makes, of `pictures` where it needs any."""
    kind = KINDS[preset.kind]
    own = {**preset.values, **_stand_in(preset)}
    extends = any(value for name, value in own.items() if name.startswith("extend_"))
    needed = {name: given for name, given in pictures.items() if name in kind.model_fields}
    if extends:
        needed["mask"] = None
    values = {**needed, **own}
    if "units" in values:
        values["units"] = [unit | {"picture": pictures[_given_to(unit)]} for unit in values["units"]]
    (saved,) = engine.submit(parse(kind, values)).result()
    return saved.path


def _given_to(unit: dict[str, Any]) -> str:
    return {"none": "outlines", "invert": "drawing"}.get(unit["preprocessor"], "image")


def given_pictures(engine: LocalEngine) -> dict[str, Any]:
    """The picture, its mask and its outlines for presets that need them."""
    with Image.open(draw(engine, Library().find(*GIVEN), {})) as image:
        picture = image.convert("RGB")
    mask = Image.new("RGB", picture.size)
    left, top, right, bottom = (round(share * side) for share, side in zip(MASKED, picture.size * 2, strict=True))
    mask.paste("white", (left, top, right, bottom))
    outlines = Image.fromarray(cv2.Canny(np.asarray(picture), 60, 120)).convert("RGB")
    given = {"image": picture, "mask": mask, "outlines": outlines, "drawing": ImageOps.invert(outlines)}
    return {name: engine.inputs.keep(image) for name, image in given.items()}


def beside(before: Image.Image, after: Path) -> Path:
    """A part of a picture that was made larger, its left half plainly stretched; as a file beside it."""
    with Image.open(after) as image:
        larger = image.convert("RGB")
    across, down = (round(share * side) for share, side in zip(WINDOW, larger.size, strict=True))
    larger.paste(before.resize(larger.size, Image.Resampling.NEAREST).crop((0, 0, across, larger.height)))
    half = max(THUMBNAIL_SIDE, larger.width // 4) // 2
    target = after.with_name("part.png")
    top = min(down - half, larger.height - 2 * half)
    larger.crop((across - half, top, across + half, top + 2 * half)).save(target)
    return target


def main(kinds: list[str]) -> int:
    with tempfile.TemporaryDirectory() as home:
        engine = LocalEngine(Settings(home=Path(home), preview_interval=0)).start()
        try:
            pictures = given_pictures(engine)
            for preset in drawable(kinds or list(KINDS)):
                target = BUILTIN / preset.kind / f"{preset.name}.webp"
                picture = draw(engine, preset, pictures)
                if preset.kind == "upscale":
                    picture = beside(engine.inputs.open(pictures["image"]), picture)
                target.write_bytes(thumbnail_of(picture))
                print(f"{target.relative_to(BUILTIN)}: {target.stat().st_size:,} bytes", flush=True)
        finally:
            engine.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
