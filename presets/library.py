"""Named presets: built-in ones and the person's own. A preset is a TOML file with any subset of a request's fields.

    easel = 1                       the version of this format
    kind = "text-to-image"
    title = "House by the sea"
    help = "One line about it."

    [settings]
    prompt = "a red house by the sea at sunset"
    steps = 20

A picture of the same name beside it (`.webp`) is its thumbnail. Built-in presets lie in `builtin/<kind>/`, own ones in
`<home>/presets/<kind>/`. A file that cannot be used is skipped with its reason; of a usable one, what is not allowed is
left out and told. Names from outside are only ever looked up in the list.
"""

import io
import os
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from PIL import Image

from presets import toml_files
from presets.errors import UserError, reason_of, shortened
from presets.fields import without_control_characters
from presets.names import match_name, near_names, writable
from presets.partial import accepted
from presets.requests import KINDS
from presets.toml_files import FORMAT_VERSION, FileRefused

BUILTIN = Path(__file__).parent / "builtin"
TITLE_LIMIT = 80
HELP_LIMIT = 200
FILES_LIMIT = 1000
THUMBNAIL_SIDE = 128
"""Pixels of the longer side."""

_KNOWN = ("easel", "kind", "title", "help", "settings")


class PresetNotFound(UserError):
    """There is no preset of that name."""

    code = "E-PRESET-UNKNOWN"

    def __init__(self, name: str, near: list[str]):
        hint = f" Did you mean {shortened(near[0])}?" if near else ""
        super().__init__(f"No preset is called {shortened(name)}.{hint}", field="preset")


@dataclass(frozen=True, slots=True)
class Preset:
    """`name` is unique among those of its `kind`; `values` are fields of a request that are allowed together.

    `warnings` tell what of the file was left out. `is_own` presets can be renamed and deleted, but for those that a
    newer Easel wrote. `thumbnail` is a WebP file.
    """

    name: str
    kind: str
    title: str
    help: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    is_own: bool = False
    is_newer: bool = False
    thumbnail: Path | None = None


class Library:
    """The presets under `own` (`<home>/presets`; None for none) and the built-in ones. Making one touches no disk.

    Any thread may use it; the folders are read anew at each call.
    """

    def __init__(self, own: Path | None = None, builtin: Path = BUILTIN):
        self._own = own
        self._builtin = builtin

    def presets(self, kind: str) -> list[Preset]:
        """The presets of `kind`, the built-in ones first."""
        return [preset for preset, _ in self._read(kind) if isinstance(preset, Preset)]

    def problems(self, kind: str) -> list[str]:
        """A sentence for each file that is skipped."""
        return [problem.message for problem, _ in self._read(kind) if isinstance(problem, FileRefused)]

    def find(self, kind: str, name: str) -> Preset:
        """The preset of that name or title, in any case. Raises `PresetNotFound`."""
        return self._find(kind, name)[0]

    def save(
        self, kind: str, title: str, values: Mapping[str, Any], *, overwrite: bool = False, help: str = ""
    ) -> Preset:
        """Keep `values` as an own preset; with `overwrite` also instead of the own one of that title.

        Raises `FileRefused` where the title cannot be, or is taken.
        """
        title = checked_title(title)
        before = next((preset for preset in self.presets(kind) if preset.title.lower() == title.lower()), None)
        if before and not (overwrite and before.is_own and not before.is_newer):
            hint = "choose “Replace”, or another name" if before.is_own else "choose another name"
            raise FileRefused(f"There is a preset called {shortened(title)} already: {hint}.", field="title")
        path = self._find(kind, before.name)[1] if before else self._free_path(kind, title)
        return self._written(path, kind, {**_head(kind, title, help), "settings": _writable(values)})

    def rename(self, kind: str, name: str, title: str) -> Preset:
        """Give an own preset another title; all other keys of its file stay.

        Raises `FileRefused`, `PresetNotFound`.
        """
        preset, path = self._changeable(kind, name)
        title = checked_title(title)
        if any(other.title.lower() == title.lower() and other.name != preset.name for other in self.presets(kind)):
            raise FileRefused(f"There is a preset called {shortened(title)} already.", field="title")
        return self._written(path, kind, {**toml_files.read(path), "title": title})

    def delete(self, kind: str, name: str) -> None:
        """Remove an own preset and its thumbnail. Raises `FileRefused`, `PresetNotFound`."""
        _, path = self._changeable(kind, name)
        try:
            path.unlink(missing_ok=True)
            path.with_suffix(".webp").unlink(missing_ok=True)
        except OSError as error:
            raise FileRefused(f"{shortened(name)} could not be deleted: {error.strerror}.") from None

    def add_file(self, path: Path) -> Preset:
        """Keep a copy of a preset's file as an own preset; a number is added to a title that is taken.

        Raises `FileRefused` where the file cannot be used.
        """
        content = toml_files.read(path)
        kind = kind_of(path.name, content)
        given = _preset(path, content, kind, is_own=True)
        title = self._free_title(kind, given.title)
        return self._written(self._free_path(kind, title), kind, {**content, "title": title})

    def exported(self, kind: str, name: str) -> Path:
        """The file of a preset, which `add_file` takes elsewhere. Raises `PresetNotFound`."""
        return self._find(kind, name)[1]

    def _find(self, kind: str, name: str) -> tuple[Preset, Path]:
        found = {preset.name: (preset, path) for preset, path in self._read(kind) if isinstance(preset, Preset)}
        by_title = {preset.title: preset.name for preset, _ in reversed(found.values())}
        match = match_name(name, tuple(found)) or by_title.get(match_name(name, tuple(by_title)) or "")
        if match is None:
            raise PresetNotFound(name, near_names(name, (*by_title, *found)))
        return found[match]

    def _changeable(self, kind: str, name: str) -> tuple[Preset, Path]:
        preset, path = self._find(kind, name)
        if not preset.is_own:
            raise FileRefused(f"{shortened(preset.title)} is built in and cannot be changed; save one of your own.")
        if preset.is_newer:
            raise FileRefused(f"{shortened(preset.title)} was written by a newer Easel and can only be read.")
        return preset, path

    def _read(self, kind: str) -> Iterator[tuple[Preset | FileRefused, Path]]:
        names: set[str] = set()
        for folder, is_own in ((self._builtin, False), (self._own, True)):
            for path in _files(folder, kind):
                try:
                    preset = _preset(path, toml_files.read(path), kind, is_own=is_own)
                except FileRefused as problem:
                    yield problem, path
                else:
                    name = _numbered(preset.name, names, " ({})")
                    names.add(name)
                    yield replace(preset, name=name), path

    def _written(self, path: Path, kind: str, content: Mapping[str, Any]) -> Preset:
        toml_files.write(path, content)
        written = [preset for preset, file in self._read(kind) if file == path and isinstance(preset, Preset)]
        if not written:
            raise FileRefused("The preset was removed by somebody else while it was saved.")
        return written[0]

    def _free_path(self, kind: str, title: str) -> Path:
        """A file of the own presets that there is not yet, its name made of the letters and digits of `title`."""
        if self._own is None or kind not in KINDS:
            raise FileRefused("There is no folder for presets of your own.")
        folder = self._own / kind
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileRefused(f"The folder of presets cannot be made: {reason_of(error)}.") from None
        plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode("ascii").lower()
        stem = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:60] or "preset"
        taken = {preset.name for preset in self.presets(kind)} | {path.stem.lower() for path in folder.glob("*.toml")}
        return folder / f"{_numbered(stem, taken, '-{}')}.toml"

    def _free_title(self, kind: str, title: str) -> str:
        return _numbered(title, {preset.title for preset in self.presets(kind)}, " ({})")


def kind_of(name: str, content: Mapping[str, Any]) -> str:
    """The kind of the preset that a file's `content` describes. Raises `FileRefused` where it tells none."""
    kind = content.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise FileRefused(f"{shortened(name)} does not say which kind of preset it is ({', '.join(KINDS)}).")
    return kind


def _head(kind: str, title: str, help: str) -> dict[str, Any]:
    return {"easel": FORMAT_VERSION, "kind": kind, "title": title, "help": help}


def checked_title(title: str) -> str:
    """`title` without control characters and outer spaces. Raises `FileRefused` where that is no title."""
    plain = " ".join(writable(without_control_characters(title)).split())
    if not plain:
        raise FileRefused("A preset needs a name.", field="title")
    if len(plain) > TITLE_LIMIT:
        message = f"A preset's name has at most {TITLE_LIMIT} characters; {shortened(plain)} has {len(plain):,}."
        raise FileRefused(message, field="title")
    return plain


def thumbnail_of(picture: Image.Image) -> bytes:
    """A picture as a WebP of at most `THUMBNAIL_SIDE`, clear where it is."""
    small = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=82, method=6)
    return buffer.getvalue()


def _writable(values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` as TOML takes them, which has no word for None: an empty text stands for it."""
    return {name: "" if value is None else _plain(value) for name, value in values.items() if name != "kind"}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items() if part is not None}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value


def _readable(kind: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The reverse: an empty text is None in fields that are None where they are not given."""
    fields = KINDS[kind].model_fields
    emptied = {
        name for name, value in settings.items() if value == "" and name in fields and fields[name].default is None
    }
    return {name: None if name in emptied else value for name, value in settings.items()}


def _numbered(text: str, taken: set[str], pattern: str) -> str:
    number, result = 2, text
    while result in taken:
        result, number = text + pattern.format(number), number + 1
    return result


def _files(folder: Path | None, kind: str) -> list[Path]:
    """The presets' files of `kind` in a folder, in the order of their names."""
    if folder is None or kind not in KINDS:
        return []
    try:
        stems = sorted(Path(entry.name).stem for entry in os.scandir(folder / kind) if entry.name.endswith(".toml"))
    except OSError:
        return []
    usable = [stem for stem in stems if not stem.startswith(".") and writable(stem) == stem]
    return [folder / kind / f"{stem}.toml" for stem in usable[:FILES_LIMIT]]


def _preset(path: Path, content: Mapping[str, Any], kind: str, *, is_own: bool) -> Preset:
    thumbnail = path.with_suffix(".webp")
    preset = preset_of(path.name, content, kind)
    return replace(preset, is_own=is_own, thumbnail=thumbnail if thumbnail.is_file() else None)


def preset_of(file: str, content: Mapping[str, Any], kind: str) -> Preset:
    """The preset that the `content` of a file of that name describes. Raises `FileRefused` where it is none of
    `kind`."""
    name = Path(file).stem
    version = content.get("easel", FORMAT_VERSION)
    settings = content.get("settings", {})
    if content.get("kind", kind) != kind or not isinstance(settings, dict):
        raise FileRefused(f"{shortened(file)} is no preset of the kind {kind}.")
    values, problems = accepted(KINDS[kind], _readable(kind, settings))
    notes = [f"{shortened(key)} is not known here." for key in content if key not in _KNOWN]
    if version > FORMAT_VERSION:
        notes.insert(0, "It was written by a newer Easel.")
    return Preset(
        name=name,
        kind=kind,
        title=_line(content.get("title"), TITLE_LIMIT) or name,
        help=_line(content.get("help"), HELP_LIMIT),
        values=values,
        warnings=(*notes, *(problem.message for problem in problems)),
        is_newer=version > FORMAT_VERSION,
    )


def _line(value: Any, limit: int) -> str:
    """`value` as one line of text, if it is text."""
    return " ".join(without_control_characters(value).split())[:limit] if isinstance(value, str) else ""
