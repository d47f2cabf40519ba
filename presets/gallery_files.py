"""The files of saved pictures: `<day>/<number>-<mark>-<secret>.png`, each written whole or not at all.

The secret part makes the address of a picture something that only those know who were told it. Files of former versions
have none.
"""

import base64
import math
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from presets.errors import UserError, reason_of
from presets.metadata import MetadataUnreadable, read_picture
from presets.requests import AnyRequest

ABANDONED_SECONDS = 60.0
"""A file still being written after this time belongs to a process that died: writing one takes milliseconds."""
SECRET_BYTES = 10

_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_NAME = re.compile(r"(\d{6,})-(-?\d+|[a-z-]+?)(-[a-z2-7]{16})?\.png")


class PictureNotSaved(UserError):
    """The disk refused a picture."""

    code = "E-DISK"

    def __init__(self, error: OSError):
        super().__init__(f"The picture could not be saved: {reason_of(error)}.")


@dataclass(frozen=True, slots=True)
class Picture:
    """A saved picture. `identifier` is stable and safe in a URL; `created` and `deleted` (while it lies in the trash)
    in seconds since 1970; `boards` those that it was put on."""

    identifier: str
    path: Path
    created: float
    width: int
    height: int
    request: AnyRequest
    starred: bool = False
    boards: tuple[str, ...] = ()
    deleted: float | None = None

    @property
    def cursor(self) -> str:
        """Stands for its place among all pictures, also once it is gone."""
        return f"{self.created!r}~{self.identifier}"

    @property
    def plain_name(self) -> str:
        """A file name for a copy, without the secret part."""
        match = _NAME.fullmatch(self.path.name)
        stem = f"{match[1]}-{match[2]}" if match else self.path.stem
        return f"{self.path.parent.name}-{stem}{self.path.suffix}"


def identifier_of(path: Path) -> str:
    return f"{path.parent.name}-{path.stem}"


def is_guessable(path: Path) -> bool:
    """Whether a picture's name has no secret part."""
    match = _NAME.fullmatch(path.name)
    return match is None or match[3] is None


def write(root: Path, content: bytes, created: float, mark: str, announce: Callable[[Path], None]) -> Path:
    """Put `content` under a number of the day that no file has and no process is writing; the new file.

    `announce` is told its path just before it appears. Raises `OSError`, and then nothing has appeared.
    """
    folder = root.absolute() / time.strftime("%Y-%m-%d", time.localtime(created))
    folder.mkdir(parents=True, exist_ok=True)
    ending = f"{mark}-{base64.b32encode(secrets.token_bytes(SECRET_BYTES)).decode('ascii').lower()}.png"
    number = 1 + _last_number(folder)
    while not _write_once(folder, number, ending, content, announce):
        number += 1
    return folder / f"{number:06d}-{ending}"


def listed(root: Path) -> set[str]:
    """Every finished picture under `root` as `<day>/<name>`; what a dead process left half-written is removed."""
    found = set()
    for day in _names(root):
        if _DAY.fullmatch(day) and root.joinpath(day).is_dir():
            found |= {f"{day}/{name}" for name in _pictures(root / day)}
    return found


def read(path: Path) -> Picture | None:
    """The picture at `path`, or None if it carries no request that can be read."""
    try:
        recovered, (width, height) = read_picture(path)
        written = path.stat().st_mtime
    except (MetadataUnreadable, FileNotFoundError):
        return None
    if recovered is None:
        return None
    created = recovered.record.get("created")
    if not isinstance(created, float) or not math.isfinite(created):
        created = written
    return Picture(identifier_of(path), path, created, width, height, recovered.request)


def _pictures(folder: Path) -> Iterator[str]:
    with os.scandir(folder) as entries:  # pathlib takes ten times as long, and a day may have thousands
        for entry in entries:
            if _NAME.fullmatch(entry.name) and entry.is_file():
                yield entry.name
            elif entry.name.endswith(".part"):
                _remove_abandoned(Path(entry.path))


def _last_number(folder: Path) -> int:
    """The greatest number that a picture in `folder` has, 0 if there is none."""
    matches = (_NAME.fullmatch(name) for name in sorted(_names(folder), reverse=True))
    return next((int(match[1]) for match in matches if match), 0)


def _names(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries]


def _write_once(folder: Path, number: int, ending: str, content: bytes, announce: Callable[[Path], None]) -> bool:
    """Write a picture file whole; False, and nothing written, if the number is taken or being written."""
    partial = folder / f".{number:06d}.part"
    try:
        file = partial.open("xb")
    except FileExistsError:
        return False
    try:
        with file:
            if any(name.startswith(f"{number:06d}-") for name in _names(folder)):
                return False
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        finished = folder / f"{number:06d}-{ending}"
        announce(finished)
        partial.replace(finished)
    finally:
        partial.unlink(missing_ok=True)
    return True


def _remove_abandoned(partial: Path) -> None:
    with suppress(FileNotFoundError):  # its writer may be done with it at this moment
        if partial.stat().st_mtime < time.time() - ABANDONED_SECONDS:
            partial.unlink()
