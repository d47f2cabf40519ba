"""Files that are there whole or not at all, whatever ends the process or fills the disk meanwhile."""

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

ABANDONED_SECONDS = 600.0
"""A file still being written after this time belongs to a process that died."""


@contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, which is at `path` once the block is left without an error. Raises `OSError`; what was at
    `path` is then as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    _sweep(path.parent)


def _sweep(folder: Path) -> None:
    """Remove what dead processes left half written."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".part") and entry.stat().st_mtime < time.time() - ABANDONED_SECONDS:
                Path(entry.path).unlink(missing_ok=True)
