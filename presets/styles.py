"""Styles: named fragments that are laid around prompts, several at once, apart from presets.

A request names them; when it is resolved their words are in its prompts and it names none any more, so that a picture's
own settings say all that made it and are never given a style twice.

    easel = 1

    [[styles]]
    name = "Watercolour"
    prompt = "watercolour painting of {prompt}, wet on wet"    the prompt's place; without one it comes first
    negative_prompt = "photo"
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from presets import toml_files
from presets.checks import parse
from presets.drawing import Drawing
from presets.errors import InvalidField, shortened
from presets.names import match_name, near_names
from presets.request import RequestType
from presets.toml_files import FileRefused

BUILTIN = Path(__file__).parent / "builtin" / "styles.toml"
PLACE = "{prompt}"
NAME_LIMIT = 100
STYLES_LIMIT = 1000


class StyleNotFound(InvalidField):
    """There is no style of that name."""

    code = "E-STYLE-UNKNOWN"

    def __init__(self, name: str, near: list[str]):
        hint = f" Did you mean {shortened(near[0])}?" if near else ""
        super().__init__("styles", f"No style is called {shortened(name)}.{hint}")


@dataclass(frozen=True, slots=True)
class Style:
    """A fragment for the prompt and one for the negative prompt; either may be empty."""

    name: str
    prompt: str = ""
    negative_prompt: str = ""


class Styles:
    """The built-in styles and those of the file `own`, which win where names are the same. Read anew at each call."""

    def __init__(self, own: Path | None = None):
        self._own = own

    def names(self) -> list[str]:
        """The names to choose from, the built-in ones first."""
        return list(self._all())

    def problems(self) -> list[str]:
        """A sentence where the own file cannot be used."""
        try:
            _read(self._own)
        except FileRefused as problem:
            return [problem.message]
        return []

    def applied(self, request: RequestType) -> RequestType:
        """`request` with the words of its styles in its prompts, naming none.

        Raises `StyleNotFound`, and `InvalidField` where a prompt thereby gets too long.
        """
        if not isinstance(request, Drawing) or not request.styles:
            return request
        known = self._all()
        prompt, negative = request.prompt, request.negative_prompt
        for name in request.styles:
            match = match_name(name, tuple(known))
            if match is None:
                raise StyleNotFound(name, near_names(name, tuple(known)))
            prompt = _laid(known[match].prompt, prompt)
            negative = _laid(known[match].negative_prompt, negative)
        worded = request.model_copy(update={"prompt": prompt, "negative_prompt": negative, "styles": ()})
        parse(type(worded), worded.model_dump())
        return worded

    def _all(self) -> dict[str, Style]:
        try:
            own = _read(self._own)
        except FileRefused:
            own = {}
        return _read(BUILTIN) | own


def _laid(fragment: str, prompt: str) -> str:
    """`prompt` at its place in `fragment`, or before it."""
    if PLACE in fragment:
        return fragment.replace(PLACE, prompt, 1)
    return ", ".join(filter(None, (prompt, fragment)))


def _read(path: Path | None) -> dict[str, Style]:
    """The styles of a file by their names; entries that are none are left out. Raises `FileRefused`."""
    if path is None or not path.exists():
        return {}
    entries = toml_files.read(path).get("styles", [])
    if not isinstance(entries, list):
        raise FileRefused(f"{shortened(path.name)} cannot be used: it has no list of styles.")
    styles = [_style(entry) for entry in entries[:STYLES_LIMIT] if isinstance(entry, dict)]
    return {style.name: style for style in styles if style.name}


def _style(entry: Mapping[str, Any]) -> Style:
    name, prompt, negative = (entry.get(key) for key in ("name", "prompt", "negative_prompt"))
    plain = " ".join(name.split())[:NAME_LIMIT] if isinstance(name, str) else ""
    return Style(plain, prompt if isinstance(prompt, str) else "", negative if isinstance(negative, str) else "")
