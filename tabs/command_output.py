"""What a run from the command line leaves: pictures where `--output` says, and one line of progress on a terminal."""

import shutil
import tempfile
import uuid
from pathlib import Path

from pipelines.engine.jobs import Saved
from presets.errors import UserError, reason_of, shortened
from presets.metadata import ENCODERS, converted


class OutputRefused(UserError):
    """The place after `--output` cannot take pictures."""

    code = "E-OUTPUT"


class PictureFiles:
    """Where the pictures of one run go. Raises `OutputRefused` before anything runs if that place cannot take them.

    `place` is a `.png`, `.webp` or `.jpg` file, an existing folder, or None to leave them in the gallery alone.
    """

    def __init__(self, place: str | None, count: int):
        self.paths: list[Path] = []
        self._place = place
        self._count = count
        if place is None:
            return
        try:
            self._check(Path(place), place)
        except OSError as error:
            raise OutputRefused(f"{shortened(place)} cannot be written: {reason_of(error)}.") from None

    def keep(self, saved: Saved) -> None:
        """Put a saved picture at its place, whole or not at all; byte for byte where that is a PNG."""
        path = self._target(saved)
        if path != saved.path:
            _copy(saved.path, path)
        if path not in self.paths:
            self.paths.append(path)

    def _target(self, saved: Saved) -> Path:
        if self._place is None:
            return saved.path
        place = Path(self._place)
        if place.is_dir():
            return place / f"{saved.path.parent.name}-{saved.path.name}"
        return self._numbered(place, saved.index)

    def _numbered(self, place: Path, index: int) -> Path:
        return place if self._count == 1 else _with_number(place, index + 1)

    def _check(self, place: Path, text: str) -> None:
        if place.is_dir():
            return _check_writable(place)
        if text.endswith(("/", "\\")):
            raise OutputRefused(f"There is no folder {shortened(text)} to put pictures into.")
        if place.suffix.lower() not in ENCODERS:
            raise OutputRefused(f"{shortened(text)} must end in .png, .webp or .jpg, or be a folder.")
        if not place.parent.is_dir():
            raise OutputRefused(f"There is no folder {shortened(str(place.parent))} to put {shortened(text)} into.")
        for index in range(self._count):
            if self._numbered(place, index).is_dir():
                raise OutputRefused(f"{shortened(str(self._numbered(place, index)))} is a folder.")
        return _check_writable(place.parent)


def numbered(place: str | None, number: int) -> str | None:
    """Where the pictures of one of several requests go, of which all go to `place`."""
    return (
        place
        if place is None or Path(place).is_dir() or place.endswith(("/", "\\"))
        else str(_with_number(Path(place), number))
    )


def _with_number(path: Path, number: int) -> Path:
    return path.with_name(f"{path.stem}-{number}{path.suffix}")


def _check_writable(folder: Path) -> None:
    with tempfile.TemporaryFile(dir=folder):
        pass


def _copy(source: Path, target: Path) -> None:
    partial = target.with_name(f".{uuid.uuid4().hex}.part")
    try:
        if target.suffix.lower() == source.suffix:
            shutil.copyfile(source, partial)
        else:
            partial.write_bytes(converted(source, target.suffix.lower()))
        partial.replace(target)
    except OSError as error:
        raise OutputRefused(
            f"The picture is in the gallery as {source.name}, but could not be copied to {shortened(str(target))}: "
            f"{reason_of(error)}."
        ) from None
    finally:
        partial.unlink(missing_ok=True)
