"""Lines on a terminal, and the one that is drawn over while a job runs."""

import shutil
from typing import TextIO

from pipelines.engine.jobs import Event, Loading, Progress, Queued, Warned

BAR_WIDTH = 24


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
        return f"{event.doing.lower()} {event.what}"
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
