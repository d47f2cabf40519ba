"""Thumbnails of the built-in presets, drawn by the program itself.

    python -m training.make_thumbnails [KIND ... | KIND/NAME ...]

Draws each preset, or those named, and puts a WebP of 128 pixels beside its file; those for other checkpoints as the
starter can tell what they do (`stand_ins.py`).
Presets of kinds that are given a picture are given what the first one of text to image draws unless they stand in with
another, with a mask over its middle unless they extend it. Control units are given its outlines, as a drawing on paper
where they are to be inverted, or the picture itself where they look for outlines of their own. Of a picture made larger
a part is shown, its left half as it was.
"""

import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageFilter, ImageOps

from pipelines.engine.local import LocalEngine
from presets.checks import parse
from presets.library import BUILTIN, THUMBNAIL_SIDE, Library, Preset, thumbnail_of
from presets.requests import KINDS
from presets.settings import Settings
from training.props import PROPS
from training.stand_ins import STAND_INS, WINDOW, Share, StandIn

CARD = THUMBNAIL_SIDE, 92
"""Pixels of a thumbnail that fills the card of a preset, which shows no more of a square one than its middle."""
WIDEST = 1.6
"""Width over height of pictures that a card cuts; wider ones and upright ones are shown whole."""
NATIVE = 128
SIDES = ("left", "top", "right", "bottom")


def named(names: list[str]) -> list[Preset]:
    """The built-in presets of those kinds, or of that kind and name."""
    presets = [preset for kind in KINDS for preset in Library().presets(kind)]
    return [preset for preset in presets if {preset.kind, f"{preset.kind}/{preset.name}"} & set(names)]


class Studio:
    """Draws thumbnails with an engine."""

    def __init__(self, engine: LocalEngine):
        self.engine = engine
        self.picture = cache(self._picture)

    def thumbnail(self, preset: Preset) -> Image.Image:
        """What `preset` makes, as a picture to be made small."""
        stand_in = _stand_in(preset)
        after = self.picture(stand_in.after) if stand_in.after else self.draw(preset)
        shown = "halves" if preset.kind == "upscale" else stand_in.shown
        if shown == "alone":
            return whole(after)
        before = self.picture(stand_in.before) if stand_in.before else self.given(stand_in)
        return (halves if shown == "halves" else pair)(before, after, stand_in.at)

    def draw(self, preset: Preset) -> Image.Image:
        """The picture that `preset` makes, of others where it needs any."""
        kind, stand_in = KINDS[preset.kind], _stand_in(preset)
        values = {**preset.values, **stand_in.values}
        if "image" in kind.model_fields:
            values["image"] = self._kept(self.given(stand_in))
        if "mask" in kind.model_fields and not any(values.get(f"extend_{side}") for side in SIDES):
            values["mask"] = self._kept(mask(self.given(stand_in), stand_in.masked))
        if "units" in values:
            given = self.given(stand_in)
            values["units"] = [unit | {"picture": self._kept(_control(given, unit))} for unit in values["units"]]
        (saved,) = self.engine.submit(parse(kind, values)).result()
        with Image.open(saved.path) as image:
            return image.convert("RGB")

    def given(self, stand_in: StandIn) -> Image.Image:
        """The picture that is given, `NATIVE` pixels large."""
        given = self.picture(stand_in.given)
        if stand_in.blurs:
            given = Image.composite(given.filter(ImageFilter.GaussianBlur(4)), given, mask(given, stand_in.masked))
        return given

    def _picture(self, name: str) -> Image.Image:
        if name in PROPS:
            return PROPS[name]().resize((NATIVE, NATIVE), Image.Resampling.LANCZOS)
        return self.draw(Library().find(*name.split("/")))

    def _kept(self, image: Image.Image) -> Any:
        return self.engine.inputs.keep(image)


def _stand_in(preset: Preset) -> StandIn:
    default = StandIn({}, at=WINDOW) if preset.kind == "upscale" else StandIn({})
    return STAND_INS.get((preset.kind, preset.name), default)


def mask(picture: Image.Image, masked: Share) -> Image.Image:
    """White where a part of `picture` is drawn anew."""
    left, top, right, bottom = (round(share * side) for share, side in zip(masked, picture.size * 2, strict=True))
    black = Image.new("L", picture.size)
    black.paste(255, (left, top, right, bottom))
    return black


def _control(given: Image.Image, unit: dict[str, Any]) -> Image.Image:
    """What a control unit is given of a picture."""
    if unit["preprocessor"] not in ("none", "invert"):
        return given
    outlines = Image.fromarray(cv2.Canny(np.asarray(given), 60, 120)).convert("RGB")
    return ImageOps.invert(outlines) if unit["preprocessor"] == "invert" else outlines


def halves(before: Image.Image, after: Image.Image, at: tuple[float, float]) -> Image.Image:
    """A part of `after` around a place, which is drawn plainly stretched from `before` on its left half."""
    across, down = (round(share * side) for share, side in zip(at, after.size, strict=True))
    both = after.copy()
    both.paste(before.resize(after.size, Image.Resampling.NEAREST).crop((0, 0, across, after.height)))
    half = max(THUMBNAIL_SIDE, after.width // 4) // 2
    left, top = (min(place - half, side - 2 * half) for place, side in zip((across, down), after.size, strict=True))
    return both.crop((left, top, left + 2 * half, top + 2 * half))


def pair(before: Image.Image, after: Image.Image, at: tuple[float, float]) -> Image.Image:
    """Two pictures upright beside each other, as large as a card and cut so that this place is seen."""
    canvas = Image.new("RGB", CARD)
    for number, picture in enumerate((before, after)):
        canvas.paste(ImageOps.fit(picture, (CARD[0] // 2, CARD[1]), centering=at), (number * CARD[0] // 2, 0))
    return canvas


def whole(picture: Image.Image) -> Image.Image:
    """`picture` between clear margins where a card would cut it."""
    if 1 <= picture.width / picture.height <= WIDEST:
        return picture
    return ImageOps.pad(picture.convert("RGBA"), CARD, color=(0, 0, 0, 0))


def main(names: list[str]) -> int:
    with tempfile.TemporaryDirectory() as home:
        engine = LocalEngine(Settings(home=Path(home), preview_interval=0, threads=1)).start()
        try:
            studio = Studio(engine)
            for preset in named(names or list(KINDS)):
                target = BUILTIN / preset.kind / f"{preset.name}.webp"
                target.write_bytes(thumbnail_of(studio.thumbnail(preset)))
                print(f"{target.relative_to(BUILTIN)}: {target.stat().st_size:,} bytes", flush=True)
        finally:
            engine.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
