"""Saved pictures: PNG files with their request inside, and an SQLite index beside them.

The files are the truth. The index (`index.sqlite`) only makes them quick to list and search, so a missing, corrupt or
older one is made anew from the files. Several processes may add, read and delete at once.
"""

import math
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image
from pydantic import ValidationError

from presets.errors import UserError
from presets.metadata import MetadataUnreadable, encode_png, read_picture
from presets.names import writable
from presets.requests import KINDS, AnyRequest

INDEX_FILE = "index.sqlite"
INDEX_VERSION = 2
STALE_FILE = "index.stale"
"""Lies there while a picture was saved that could not be listed, so that every process lists it when it can."""
LOCK_SECONDS = 30.0
RETRY_SECONDS = 0.02
SEARCH_WORDS = 100
ABANDONED_SECONDS = 60.0
"""A file still being written after this time belongs to a process that died: writing one takes milliseconds."""

_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_NAME = re.compile(r"(\d{6,})-(-?\d+|[a-z-]+)\.png")
_TABLE = """
CREATE TABLE pictures (
    identifier TEXT PRIMARY KEY, path TEXT NOT NULL UNIQUE, created REAL NOT NULL, kind TEXT NOT NULL,
    width INTEGER NOT NULL, height INTEGER NOT NULL, words TEXT NOT NULL, request TEXT NOT NULL
)
"""
_NEWEST = "ORDER BY created DESC, identifier DESC LIMIT ? OFFSET ?"

Answer = TypeVar("Answer")


class PictureNotSaved(UserError):
    """The disk refused a picture."""

    code = "E-DISK"

    def __init__(self, error: OSError):
        super().__init__(f"The picture could not be saved: {error.strerror or type(error).__name__}.")


@dataclass(frozen=True, slots=True)
class Picture:
    """A saved picture. `identifier` is stable and safe in a URL; `created` in seconds since 1970."""

    identifier: str
    path: Path
    created: float
    width: int
    height: int
    request: AnyRequest


class Gallery:
    """The pictures under `root`, as `<day>/<number>-<mark>.png`; other files there are left alone.

    Making one touches no disk. Any thread may use it.
    """

    def __init__(self, root: Path):
        self.root = root
        self._matches_files = False

    def add(self, image: Image.Image, request: AnyRequest, record: Mapping[str, Any]) -> Path:
        """Save `image` with the resolved `request` inside; the absolute path of the new file.

        The file appears whole or not at all. Raises `PictureNotSaved`.
        """
        created = time.time()
        content = encode_png(image, request, {**record, "created": created})
        try:
            path = self._write(content, created, request.file_mark)
        except OSError as error:
            raise PictureNotSaved(error) from error
        picture = Picture(_identifier(path), path, created, image.width, image.height, request)
        try:
            self._use_index(lambda index: _insert(index, picture))
        except (sqlite3.Error, OSError):
            self._mark_stale()  # the file is safe; the next use of the index, in whatever process, finds it
        return path

    def recent(self, limit: int = 50, offset: int = 0) -> list[Picture]:
        """Pictures, the newest first."""
        return self._select(_NEWEST, limit, offset)

    def search(self, text: str, limit: int = 50, offset: int = 0) -> list[Picture]:
        """Pictures in whose prompts, names or seed each word of `text` occurs (its first 100), the newest first."""
        words = writable(text).casefold().split()[:SEARCH_WORDS]
        condition = " AND ".join(["instr(words, ?)"] * len(words)) or "TRUE"
        return self._select(f"WHERE {condition} {_NEWEST}", *words, limit, offset)

    def get(self, identifier: str) -> Picture | None:
        found = self._select("WHERE identifier = ?", writable(identifier))
        return found[0] if found else None

    def delete(self, identifier: str) -> bool:
        """Remove a picture's file and its row; False if there is none of that name."""
        picture = self.get(identifier)
        if picture is None:
            return False
        picture.path.unlink(missing_ok=True)
        self._use_index(lambda index: index.execute("DELETE FROM pictures WHERE identifier = ?", (identifier,)))
        return True

    def rebuild(self) -> None:
        """Make the index anew from the files."""
        self._use_index(lambda index: _in_transaction(index, self._fill))

    def _select(self, rest: str, *values: str | int) -> list[Picture]:
        pictures = self._listed(rest, *values)
        if all(picture.path.is_file() for picture in pictures):
            return pictures
        self._matches_files = False  # somebody removed files by hand
        return self._listed(rest, *values)

    def _listed(self, rest: str, *values: str | int) -> list[Picture]:
        query = f"SELECT path, created, kind, width, height, request FROM pictures {rest}"
        rows = self._use_index(lambda index: index.execute(query, values).fetchall())
        pictures = (self._picture(*row) for row in rows)
        return [picture for picture in pictures if picture]

    def _picture(self, name: str, created: float, kind: str, width: int, height: int, request: str) -> Picture | None:
        """A row of the index; None for one of a newer Easel."""
        path = self.root.absolute() / name
        try:
            known = KINDS[kind].model_validate_json(request)
        except (KeyError, ValidationError):
            return None
        return Picture(_identifier(path), path, created, width, height, known)

    def _write(self, content: bytes, created: float, mark: str) -> Path:
        """Put `content` under a number of the day that no file has and no process is writing."""
        folder = self.root.absolute() / time.strftime("%Y-%m-%d", time.localtime(created))
        folder.mkdir(parents=True, exist_ok=True)
        number = 1 + _last_number(folder)
        while not _write_once(folder, number, mark, content):
            number += 1
        return folder / _file_name(number, mark)

    def _mark_stale(self) -> None:
        self._matches_files = False
        with suppress(OSError):
            (self.root / STALE_FILE).touch()

    def _use_index(self, work: Callable[[sqlite3.Connection], Answer]) -> Answer:
        """`work` done on the index, which may mean more than once.

        SQLite gives up at once, and not after `LOCK_SECONDS`, where waiting could be a deadlock, as when two
        processes meet at a new index.
        """
        end = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                return self._use_whole_index(work)
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > end:
                    raise
            time.sleep(RETRY_SECONDS)

    def _use_whole_index(self, work: Callable[[sqlite3.Connection], Answer]) -> Answer:
        """`work` done on the index, once more on a new one if the file turns out to be corrupt."""
        try:
            return self._use_index_once(work)
        except sqlite3.DatabaseError as error:
            if type(error) is not sqlite3.DatabaseError:  # its subclasses say other things than "corrupt"
                raise
        for ending in ("", "-wal", "-shm"):
            self.root.joinpath(INDEX_FILE + ending).unlink(missing_ok=True)
        return self._use_index_once(work)

    def _use_index_once(self, work: Callable[[sqlite3.Connection], Answer]) -> Answer:
        self.root.mkdir(parents=True, exist_ok=True)
        path = self.root / INDEX_FILE
        with closing(sqlite3.connect(path, timeout=LOCK_SECONDS, isolation_level=None)) as index:
            index.execute("PRAGMA synchronous = NORMAL")  # a lost row is found again
            if _version(index) != INDEX_VERSION:
                index.execute("PRAGMA journal_mode = WAL")
                _in_transaction(index, self._fill_if_older)
            elif not self._matches_files or (self.root / STALE_FILE).exists():
                self._match(index)
            self._matches_files = True
            return work(index)

    def _match(self, index: sqlite3.Connection) -> None:
        (self.root / STALE_FILE).unlink(missing_ok=True)  # before the files are looked at: one that comes after counts
        try:
            _in_transaction(index, self._match_files)
        except sqlite3.Error:
            self._mark_stale()
            raise

    def _fill_if_older(self, index: sqlite3.Connection) -> None:
        if _version(index) != INDEX_VERSION:  # no other process was quicker
            index.execute("DROP TABLE IF EXISTS pictures")
            index.execute(_TABLE)
            index.execute("CREATE INDEX by_time ON pictures (created, identifier)")
            index.execute(f"PRAGMA user_version = {INDEX_VERSION}")
            self._match_files(index)

    def _fill(self, index: sqlite3.Connection) -> None:
        index.execute("DELETE FROM pictures")
        self._match_files(index)

    def _match_files(self, index: sqlite3.Connection) -> None:
        """List the files that are not listed, and drop the rows whose file is gone."""
        listed = {name for (name,) in index.execute("SELECT path FROM pictures")}
        files = {path.relative_to(self.root).as_posix(): path for path in self._files()}
        index.executemany("DELETE FROM pictures WHERE path = ?", [(name,) for name in listed - files.keys()])
        for name in sorted(files.keys() - listed):
            picture = _read(files[name])
            if picture:
                _insert(index, picture)

    def _files(self) -> Iterator[Path]:
        """Every finished picture; what a dead process left half-written is removed on the way."""
        for folder in self.root.iterdir():
            if _DAY.fullmatch(folder.name) and folder.is_dir():
                for path in folder.iterdir():
                    if _NAME.fullmatch(path.name) and path.is_file():
                        yield path
                    elif path.suffix == ".part":
                        _remove_abandoned(path)


def _identifier(path: Path) -> str:
    return f"{path.parent.name}-{path.stem}"


def _file_name(number: int, mark: str) -> str:
    return f"{number:06d}-{mark}.png"


def _last_number(folder: Path) -> int:
    """The greatest number that a picture in `folder` has, 0 if there is none."""
    matches = (_NAME.fullmatch(name) for name in sorted(_names(folder), reverse=True))
    return next((int(match[1]) for match in matches if match), 0)


def _names(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:  # pathlib takes ten times as long, and a day may have thousands
        return [entry.name for entry in entries]


def _write_once(folder: Path, number: int, mark: str, content: bytes) -> bool:
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
        partial.replace(folder / _file_name(number, mark))
    finally:
        partial.unlink(missing_ok=True)
    return True


def _remove_abandoned(partial: Path) -> None:
    with suppress(FileNotFoundError):  # its writer may be done with it at this moment
        if partial.stat().st_mtime < time.time() - ABANDONED_SECONDS:
            partial.unlink()


def _read(path: Path) -> Picture | None:
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
    return Picture(_identifier(path), path, created, width, height, recovered.request)


def _insert(index: sqlite3.Connection, picture: Picture) -> None:
    request = picture.request
    values = (
        picture.identifier,
        f"{picture.path.parent.name}/{picture.path.name}",
        picture.created,
        request.kind,
        picture.width,
        picture.height,
        "\n".join(request.searched).casefold(),
        request.model_dump_json(),
    )
    index.execute(f"INSERT OR REPLACE INTO pictures VALUES ({', '.join('?' * len(values))})", values)


def _in_transaction(index: sqlite3.Connection, change: Callable[[sqlite3.Connection], None]) -> None:
    index.execute("BEGIN IMMEDIATE")
    with index:
        change(index)


def _version(index: sqlite3.Connection) -> int:
    return index.execute("PRAGMA user_version").fetchone()[0]
