"""TOML files that people keep, send and edit: read with care, written whole or not at all."""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomlkit

from presets.errors import UserError, reason_of, shortened
from presets.whole_files import written_whole

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pyright: ignore[reportMissingImports]

SIZE_LIMIT = 256 * 2**10
FORMAT_VERSION = 1
"""Of all these files, under the key `easel`."""

_DEEP_KEY = re.compile(r"""(?<![\w-])(?:(?:[\w-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*){33}""")
"""a.b.c ... of more than 33 parts: the memory that reading it takes grows with the square of their number."""


class FileRefused(UserError):
    """A file of presets or styles that cannot be read, saved, renamed or deleted."""

    code = "E-PRESET"


def read(path: Path) -> dict[str, Any]:
    """The content of a file, its version checked to be one. Raises `FileRefused`."""
    name = shortened(path.name)
    try:
        if not path.is_file():
            raise FileRefused(f"{name} is no file.")
        if path.stat().st_size > SIZE_LIMIT:
            raise FileRefused(f"{name} has {path.stat().st_size:,} bytes; at most {SIZE_LIMIT:,} are allowed.")
        data = path.read_bytes()
    except OSError as error:
        raise FileRefused(f"{name} cannot be read: {error.strerror}.") from None
    return content_of(data, path.name)


def content_of(data: bytes, title: str) -> dict[str, Any]:
    """What `data`, called `title`, says, its version checked to be one. Raises `FileRefused`."""
    name = shortened(title)
    try:
        content = _parsed(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        reason = str(error)[:120] if isinstance(error, tomllib.TOMLDecodeError) else "it is not plain TOML in UTF-8"
        raise FileRefused(f"{name} cannot be used: {reason}.") from None
    version = content.get("easel", FORMAT_VERSION)
    if type(version) is not int or version < 1:
        raise FileRefused(f"{name} cannot be used: its version is {shortened(version)}.")
    return content


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Put `content` into the file. Raises `FileRefused`, and the file is then as it was."""
    try:
        data = tomlkit.dumps(content).encode("utf-8")
    except RecursionError:
        raise FileRefused("The preset is nested too deeply.") from None
    if len(data) > SIZE_LIMIT:
        raise FileRefused(f"The preset has {len(data):,} bytes; at most {SIZE_LIMIT:,} are allowed.")
    try:
        with written_whole(path) as file:
            file.write(data)
    except OSError as error:
        raise FileRefused(f"The preset could not be saved: {reason_of(error)}.") from None


def _parsed(text: str) -> dict[str, Any]:
    """TOML read. Raises `ValueError` or `RecursionError`."""
    if _DEEP_KEY.search(text):
        raise ValueError("A key has too many parts.")
    return tomllib.loads(text)
