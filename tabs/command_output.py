"""What a run from the command line leaves: pictures where `--output` says, and one line of progress on a terminal."""

import shutil
import tempfile
import uuid
from pathlib import Path
from typing import TextIO

from pipelines.engine.jobs import Event, Loading, Progress, Queued, Saved, Warned
from presets.errors import UserError, reason_of, shortened
from presets.metadata import ENCODERS, converted

BAR_WIDTH = 24


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
        return place if self._count == 1 else place.with_name(f"{place.stem}-{index + 1}{place.suffix}")

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


class ProgressLine:
    """A job's events on `stream`: one line that is drawn over on a terminal, a few plain lines elsewhere."""

    def __init__(self, stream: TextIO, *, quiet: bool = False):
        self._stream = stream
        self._quiet = quiet
        self._drawn_over = stream.isatty()
        self._last = ""

    def show(self, event: Event) -> None:
        if self._quiet:
            return
        if isinstance(event, Warned):
            self.clear()
            say(self._stream, f"warning: {event.message}")
        elif self._drawn_over:
            self._draw(_bar(event) if isinstance(event, Progress) else _stage(event))
        elif _stage(event) not in ("", self._last):
            self._last = _stage(event)
            say(self._stream, self._last)

    def clear(self) -> None:
        """Leave the terminal's line empty."""
        if self._drawn_over and not self._quiet:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def _draw(self, text: str) -> None:
        if text:
            width = shutil.get_terminal_size().columns
            self._stream.write(f"\r{_printable(self._stream, text)[: width - 1]}\x1b[K")
            self._stream.flush()


def _stage(event: Event) -> str:
    """Where the job is, in words that stay the same for all steps of one picture."""
    if isinstance(event, Queued):
        return f"waiting, place {event.position}" + (f" ({event.detail})" if event.detail else "")
    if isinstance(event, Loading):
        return f"loading {event.what}"
    if isinstance(event, Progress):
        return f"picture {event.picture} of {event.pictures}, {event.steps} steps"
    return ""


def _bar(event: Progress) -> str:
    full = round(BAR_WIDTH * event.step / event.steps)
    bar = "#" * full + "." * (BAR_WIDTH - full)
    picture = f"picture {event.picture} of {event.pictures} " if event.pictures > 1 else ""
    return f"{picture}[{bar}] {event.step}/{event.steps}  {event.seconds:.1f} s, {event.remaining:.1f} s left"


def say(stream: TextIO, text: str) -> None:
    """One line of `text` on `stream`, whatever the text and the stream's encoding."""
    stream.write(_printable(stream, text) + "\n")
    stream.flush()


def _printable(stream: TextIO, text: str) -> str:
    """`text` without characters that steer a terminal, and with those it cannot encode escaped."""
    shown = "".join(mark if mark.isprintable() or mark == "\n" else "\N{REPLACEMENT CHARACTER}" for mark in text)
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return shown.encode(encoding, "backslashreplace").decode(encoding)
