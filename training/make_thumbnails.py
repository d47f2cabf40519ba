"""Thumbnails of the built-in presets, drawn by the program itself.

    python -m training.make_thumbnails

Draws the preset of every file under `presets/builtin` that names the starter, and puts a WebP of 128 pixels beside it.
"""

import sys
import tempfile
from pathlib import Path

from pipelines.engine.local import LocalEngine
from presets.checks import parse
from presets.library import BUILTIN, Library, Preset, thumbnail_of
from presets.requests import KINDS
from presets.settings import Settings


def drawable() -> list[Preset]:
    """Built-in presets that need nothing but the starter and words."""
    presets = [preset for kind in KINDS for preset in Library().presets(kind)]
    return [preset for preset in presets if preset.values.get("checkpoint") == "storybook" and _is_complete(preset)]


def _is_complete(preset: Preset) -> bool:
    fields = KINDS[preset.kind].model_fields
    return all(name in preset.values for name, field in fields.items() if field.is_required())


def main() -> int:
    with tempfile.TemporaryDirectory() as home:
        engine = LocalEngine(Settings(home=Path(home), preview_interval=0)).start()
        try:
            for preset in drawable():
                (saved,) = engine.submit(parse(KINDS[preset.kind], preset.values)).result()
                target = BUILTIN / preset.kind / f"{preset.name}.webp"
                target.write_bytes(thumbnail_of(saved.path))
                print(f"{target.relative_to(BUILTIN)}: {target.stat().st_size:,} bytes")
        finally:
            engine.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
