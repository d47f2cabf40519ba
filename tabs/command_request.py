"""The request that stands on a command line, over the preset that is named there."""

import re
import sys
from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.engine.jobs import Engine
from presets.available import localised
from presets.checks import parse
from presets.errors import InvalidField, shortened
from presets.images import ImageRef
from presets.library import Library
from presets.parts import parts_with_pictures, with_pictures
from presets.requests import AnyRequest
from tabs.inventory import available
from tabs.terminal import say

if TYPE_CHECKING:
    from tabs.command_line import Arguments

_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".avif", ".gif")
_SHA256 = re.compile("[0-9a-f]{64}")


def request_of(engine: Engine, kind: type[AnyRequest], values: Mapping[str, Any]) -> AnyRequest:
    """The request that `values` ask for, files in the place of pictures. Raises `UserError`."""
    return parse(kind, with_pictures(kind, values, lambda place, field: _picture(engine, str(place), field)))


def values_of(engine: Engine, arguments: "Arguments", library: Library) -> list[dict[str, Any]]:
    """What `arguments`, which have a kind, ask for, not checked yet; a preset is one of `library`. Several where there
    are several pictures. Raises `UserError`."""
    assert arguments.kind is not None
    values = _over(arguments.kind, _preset_values(engine, library, arguments), arguments.values)
    given = values.get("image")
    if not isinstance(given, list):
        return [values]
    return [{**values, "image": place} for place in _files(given)]


def _files(given: list[str]) -> list[str]:
    """Each file that is named, and the pictures in each folder, by name. Raises `InvalidField`."""
    files: list[str] = []
    for place in given:
        files += _inside(Path(place)) if Path(place).is_dir() else [place]
    return files


def _inside(folder: Path) -> list[str]:
    try:
        found = sorted(str(path) for path in folder.iterdir() if _is_picture(path))
    except OSError as problem:
        message = f"The folder {shortened(str(folder))} cannot be read: {problem.strerror}."
        raise InvalidField("image", message, code="E-IMAGE-MISSING") from None
    if not found:
        message = f"There is no picture in the folder {shortened(str(folder))}: PNG, JPEG, WebP, AVIF or GIF."
        raise InvalidField("image", message, code="E-IMAGE-MISSING")
    return found


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in _ENDINGS and not path.name.startswith(".") and path.is_file()


def _preset_values(engine: Engine, library: Library, arguments: "Arguments") -> dict[str, Any]:
    """What the preset that is asked for says, as far as it can be here. Raises `PresetNotFound`."""
    if arguments.kind is None or arguments.preset is None:
        return {}
    preset = library.find(str(arguments.kind.model_fields["kind"].default), arguments.preset)
    values, missing = localised(preset.values, available(engine))
    for sentence in () if arguments.quiet else (*map(str, missing), *preset.warnings):
        say(sys.stderr, f"warning: {sentence}")
    return values


def _over(kind: type[AnyRequest], preset: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """`preset` with what is `given` laid over it: of lists of parts the first over the first, and so on."""
    values = {**preset, **given}
    for name in parts_with_pictures(kind):
        if name in preset and name in given:
            pairs = zip_longest(preset[name], given[name], fillvalue={})
            values[name] = [{**before, **after} for before, after in pairs]
    return values


def _picture(engine: Engine, place: str, field: str) -> ImageRef:
    """The picture in the file at `place`, or one that is kept already, by its SHA-256."""
    if _SHA256.fullmatch(place) and not Path(place).exists():
        return engine.inputs.named(place, field)
    return engine.inputs.add(Path(place).absolute(), field)
