"""The list of saved pictures, `index.sqlite`: what makes the files quick to list and search.

The files are the truth. A missing, corrupt or older index is made anew from them. Several processes may use it at once.
"""

import sqlite3
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from presets import databases, gallery_files
from presets.databases import in_transaction, version
from presets.errors import UserError
from presets.gallery_files import Picture
from presets.gallery_marks import SCHEMA, Marks
from presets.requests import AnyRequest, drawing_of

INDEX_FILE = "index.sqlite"
INDEX_VERSION = 3
STALE_FILE = "index.stale"
"""Lies there while a picture was saved that could not be listed, so that every process lists it when it can."""

_TABLE = """
CREATE TABLE pictures (
    identifier TEXT PRIMARY KEY, path TEXT NOT NULL UNIQUE, created REAL NOT NULL, kind TEXT NOT NULL,
    width INTEGER NOT NULL, height INTEGER NOT NULL, checkpoint TEXT NOT NULL, loras TEXT NOT NULL,
    sampler TEXT NOT NULL, steps INTEGER, seed INTEGER, words TEXT NOT NULL, request TEXT NOT NULL
)
"""
_INDEXES = (
    "CREATE INDEX by_time ON pictures (created, identifier)",
    "CREATE INDEX by_checkpoint ON pictures (checkpoint, identifier)",
    "CREATE INDEX by_loras ON pictures (loras, identifier)",
)

Answer = TypeVar("Answer")


class GalleryNotWritten(UserError):
    """The disk refused what was to be changed about pictures."""

    code = "E-DISK"

    def __init__(self, error: sqlite3.Error):
        super().__init__(f"This could not be written to the disk, which may be full ({error}); make room on it.")


class Index:
    """The list of the pictures under `root`, with `marks` attached to it. Any thread may use it."""

    def __init__(self, root: Path, marks: Marks):
        self.root = root
        self._marks = marks
        self._matches_files = False

    def use(self, work: Callable[[sqlite3.Connection], Answer]) -> Answer:
        """`work` done on the index, which may mean more than once. From a disk that cannot be written, as when it is
        full, what it holds is read all the same."""
        try:
            return databases.patiently(lambda: self._use_whole(work))
        except sqlite3.OperationalError as error:
            if not databases.is_refused(error):
                raise
        return databases.looked_at({"files": self.root / INDEX_FILE, SCHEMA: self._marks.path}, _knowing(work))

    def change(self, work: Callable[[sqlite3.Connection], Answer]) -> Answer:
        """`work` done on the index in one transaction. Raises `GalleryNotWritten`."""
        try:
            return databases.patiently(lambda: self._use_whole(lambda index: in_transaction(index, work)))
        except sqlite3.OperationalError as error:
            if not databases.is_refused(error):
                raise
            raise GalleryNotWritten(error) from error

    def rebuild(self) -> None:
        """Make it anew from the files."""
        self.change(self._fill)

    def look_again(self) -> None:
        """The files are no longer those that it lists."""
        self._matches_files = False

    def mark_stale(self) -> None:
        """As `look_again`, for all processes."""
        self.look_again()
        with suppress(OSError):
            (self.root / STALE_FILE).touch()

    def _use_whole(self, work: Callable[[sqlite3.Connection], Answer]) -> Answer:
        """`work` done on the index, once more on a new one if the file turns out to be corrupt."""
        try:
            return self._use_once(work)
        except sqlite3.DatabaseError as error:
            if not databases.is_damaged(error):
                raise
        self._marks.look_again()
        for path in databases.beside(self.root / INDEX_FILE):
            path.unlink(missing_ok=True)
        return self._use_once(work)

    def _use_once(self, work: Callable[[sqlite3.Connection], Answer]) -> Answer:
        self._marks.prepare()
        return databases.connected(self.root / INDEX_FILE, lambda index: self._use_connected(index, work))

    def _use_connected(self, index: sqlite3.Connection, work: Callable[[sqlite3.Connection], Answer]) -> Answer:
        index.execute("PRAGMA synchronous = NORMAL")  # a lost row is found again
        index.execute(f"ATTACH ? AS {SCHEMA}", (str(self._marks.path),))
        if version(index) != INDEX_VERSION:
            index.execute("PRAGMA main.journal_mode = WAL")
            in_transaction(index, self._fill_if_older)
        elif not self._matches_files or (self.root / STALE_FILE).exists():
            self._match(index)
        self._matches_files = True
        return _knowing(work)(index)

    def _match(self, index: sqlite3.Connection) -> None:
        (self.root / STALE_FILE).unlink(missing_ok=True)  # before the files are looked at: one that comes after counts
        try:
            gone, new = self._differences(index)
            if gone or new:
                in_transaction(index, lambda index: self._learn(index, gone, new))
        except sqlite3.Error:
            self.mark_stale()
            raise

    def _fill_if_older(self, index: sqlite3.Connection) -> None:
        if version(index) != INDEX_VERSION:  # no other process was quicker
            index.execute("DROP TABLE IF EXISTS pictures")
            index.execute(_TABLE)
            for statement in _INDEXES:
                index.execute(statement)
            index.execute(f"PRAGMA user_version = {INDEX_VERSION}")
            self._learn(index, *self._differences(index))

    def _fill(self, index: sqlite3.Connection) -> None:
        index.execute("DELETE FROM pictures")
        self._learn(index, *self._differences(index))

    def _differences(self, index: sqlite3.Connection) -> tuple[set[str], set[str]]:
        """Rows without a file and files without a row. The rows are read first: a picture that is saved meanwhile then
        is no row without a file."""
        rows = {name for (name,) in index.execute("SELECT path FROM pictures")}
        files = gallery_files.listed(self.root)
        return rows - files, files - rows

    def _learn(self, index: sqlite3.Connection, gone: Iterable[str], new: Iterable[str]) -> None:
        index.executemany("DELETE FROM pictures WHERE path = ?", [(name,) for name in gone])
        for name in sorted(new):
            if picture := gallery_files.read(self.root / name):
                insert(index, picture)


def _knowing(work: Callable[[sqlite3.Connection], Answer]) -> Callable[[sqlite3.Connection], Answer]:
    """`work` with the functions that searches need."""

    def known(index: sqlite3.Connection) -> Answer:
        index.create_function("casefold", 1, str.casefold, deterministic=True)
        return work(index)

    return known


def insert(index: sqlite3.Connection, picture: Picture) -> None:
    row = {
        "identifier": picture.identifier,
        "path": f"{picture.path.parent.name}/{picture.path.name}",
        "created": picture.created,
        "width": picture.width,
        "height": picture.height,
        **_described(picture.request),
    }
    names, places = ", ".join(row), ", ".join("?" * len(row))
    index.execute(f"INSERT OR REPLACE INTO pictures ({names}) VALUES ({places})", tuple(row.values()))


def _described(request: AnyRequest) -> dict[str, Any]:
    """What of a request is searched. Names of LoRAs stand each between two line ends."""
    drawing = drawing_of(request)
    loras = [lora.name for lora in drawing.all_loras] if drawing else []
    return {
        "kind": request.kind,
        "checkpoint": request.checkpoint_used,
        "loras": "".join(f"\n{name}" for name in loras) + ("\n" if loras else ""),
        "sampler": drawing.sampler if drawing else "",
        "steps": drawing.steps if drawing else None,
        "seed": drawing.seed if drawing else None,
        "words": "\n".join(request.searched).casefold(),
        "request": request.model_dump_json(),
    }
