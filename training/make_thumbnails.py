"""Thumbnails of the built-in presets, drawn by the program itself.

    python -m training.make_thumbnails

Draws each preset that names the starter, and puts a WebP of 128 pixels beside its file. A preset of a kind that is
given a picture is given the one that the first preset draws.
"""

import sys
import tempfile
from pathlib import Path

from PIL import Image

from pipelines.engine.local import LocalEngine
from presets.checks import field_extra, parse
from presets.images import ImageRef
from presets.library import BUILTIN, Library, Preset, thumbnail_of
from presets.requests import KINDS
from presets.settings import Settings


def drawable() -> list[Preset]:
    """Built-in presets for the starter."""
    presets = [preset for kind in KINDS for preset in Library().presets(kind)]
    return [preset for preset in presets if preset.values.get("checkpoint") == "storybook"]


def draw(engine: LocalEngine, preset: Preset, given: ImageRef | None) -> Path:
    """The picture that `preset` makes, of the picture `given` where it needs one."""
    kind = KINDS[preset.kind]
    pictures = {name: given for name in kind.model_fields if field_extra(kind, name).get("picture")}
    (saved,) = engine.submit(parse(kind, {**pictures, **preset.values})).result()
    return saved.path


def main() -> int:
    with tempfile.TemporaryDirectory() as home:
        engine = LocalEngine(Settings(home=Path(home), preview_interval=0)).start()
        given = None
        try:
            for preset in drawable():
                path = draw(engine, preset, given)
                if given is None:
                    with Image.open(path) as image:
                        given = engine.inputs.keep(image.convert("RGB"))
                target = BUILTIN / preset.kind / f"{preset.name}.webp"
                target.write_bytes(thumbnail_of(path))
                print(f"{target.relative_to(BUILTIN)}: {target.stat().st_size:,} bytes", flush=True)
        finally:
            engine.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
