"""Many pictures as one zip file, made while it is sent: neither memory nor disk ever holds it."""

import io
import os
import time
import zipfile
from collections.abc import Iterable, Iterator

from presets.gallery_files import Picture

CHUNK_BYTES = 2**20
MISSING_FILE = "missing.txt"
_FIRST_YEAR = 1980
"""That zip files know."""


def zipped(pictures: Iterable[Picture]) -> Iterator[bytes]:
    """The content of a zip file of the pictures' files as they are. Those whose file is gone by then are named in its
    `missing.txt`."""
    target = _Target()
    missing = []
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:  # PNG is compressed already
        for picture in pictures:
            try:
                yield from _added(archive, picture, target)
            except FileNotFoundError:
                missing.append(picture.plain_name)
        if missing:
            archive.writestr(MISSING_FILE, "\n".join(("These pictures are gone:", *missing, "")))
    yield target.take()


def _added(archive: zipfile.ZipFile, picture: Picture, target: "_Target") -> Iterator[bytes]:
    with picture.path.open("rb") as file:
        entry = zipfile.ZipInfo(picture.plain_name, _moment(picture.created))
        entry.file_size = os.fstat(file.fileno()).st_size
        with archive.open(entry, "w") as member:
            while chunk := file.read(CHUNK_BYTES):
                member.write(chunk)
                yield target.take()
    yield target.take()


def _moment(seconds: float) -> tuple[int, int, int, int, int, int]:
    moment = time.localtime(seconds)
    return max(moment.tm_year, _FIRST_YEAR), moment.tm_mon, moment.tm_mday, moment.tm_hour, moment.tm_min, moment.tm_sec


class _Target(io.RawIOBase):
    """A file that can only be written to, and is emptied by taking what was written."""

    def __init__(self):
        self._written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes | bytearray | memoryview) -> int:  # type: ignore[override]
        self._written += data
        return len(data)

    def take(self) -> bytes:
        taken = bytes(self._written)
        self._written.clear()
        return taken
