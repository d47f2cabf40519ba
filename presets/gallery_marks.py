"""What people say of saved pictures: whose one is, its star, its boards, and whether it lies in the trash.

No picture's file tells that (an owner inside it would go wherever the picture is shown), so it lies in a database of
its own beside the index, `marks.sqlite`, which is never made anew. A damaged one is put aside under another name.
"""

import logging
import sqlite3
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from presets import databases

MARKS_FILE = "marks.sqlite"
MARKS_VERSION = 1
SCHEMA = "said"
"""The name that it is attached under."""

_TABLES = (
    """CREATE TABLE marks (
        identifier TEXT PRIMARY KEY, owner TEXT NOT NULL DEFAULT '', starred INTEGER NOT NULL DEFAULT 0, deleted REAL
    ) WITHOUT ROWID""",
    "CREATE INDEX by_deletion ON marks (deleted) WHERE deleted IS NOT NULL",
    """CREATE TABLE boards (
        identifier TEXT NOT NULL, board TEXT NOT NULL, PRIMARY KEY (identifier, board)
    ) WITHOUT ROWID""",
    f"PRAGMA user_version = {MARKS_VERSION}",
)
_log = logging.getLogger("easel.gallery")


class Marks:
    """The marks of the pictures under `root`. Making one touches no disk."""

    def __init__(self, root: Path):
        self.path = root / MARKS_FILE
        self._is_sound = False

    def prepare(self) -> None:
        """Have the file there, to be attached. Raises `sqlite3.Error` and `OSError`."""
        if self._is_sound and self.path.exists():
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        databases.patiently(self._prepare)
        self._is_sound = True

    def look_again(self) -> None:
        """Something is damaged, perhaps this."""
        self._is_sound = False

    def own(self, identifier: str, owner: str) -> None:
        """`identifier` is `owner`'s from now on."""
        self.prepare()
        statement = f"INSERT INTO marks (identifier, owner) VALUES (?, ?) {_or_set('owner')}"
        databases.patiently(
            lambda: databases.connected(self.path, lambda marks: marks.execute(statement, (identifier, owner)))
        )

    def _prepare(self) -> None:
        try:
            databases.connected(self.path, _make_sound)
        except sqlite3.DatabaseError as error:
            if not databases.is_damaged(error):
                raise
            self._put_aside()
            databases.connected(self.path, _make_sound)

    def _put_aside(self) -> None:
        aside = self.path.with_name(f"marks-damaged-{time.time_ns()}.sqlite")
        _log.error("Stars, boards and owners of pictures cannot be read; their file is kept as %s", aside.name)
        *others, whole = databases.beside(self.path)
        whole.rename(aside)
        for path in others:
            path.unlink(missing_ok=True)


def star(connection: sqlite3.Connection, identifiers: Iterable[str], on: bool) -> None:
    _set(connection, "starred", [(identifier, int(on)) for identifier in identifiers])


def put_into_trash(connection: sqlite3.Connection, identifiers: Iterable[str], deleted: float | None) -> None:
    """They were `deleted` at that time, or are no more."""
    _set(connection, "deleted", [(identifier, deleted) for identifier in identifiers])


def put_on_board(connection: sqlite3.Connection, identifiers: Iterable[str], board: str, on: bool) -> None:
    rows = [(identifier, board) for identifier in identifiers]
    statement = "INSERT OR IGNORE INTO {} VALUES (?, ?)" if on else "DELETE FROM {} WHERE identifier = ? AND board = ?"
    connection.executemany(statement.format(f"{SCHEMA}.boards"), rows)


def forget(connection: sqlite3.Connection, identifiers: Sequence[str]) -> None:
    for table in ("marks", "boards"):
        rows = [(identifier,) for identifier in identifiers]
        connection.executemany(f"DELETE FROM {SCHEMA}.{table} WHERE identifier = ?", rows)


def _set(connection: sqlite3.Connection, column: str, rows: Sequence[tuple[str, object]]) -> None:
    statement = f"INSERT INTO {SCHEMA}.marks (identifier, {column}) VALUES (?, ?) {_or_set(column)}"
    connection.executemany(statement, rows)


def _or_set(column: str) -> str:
    return f"ON CONFLICT (identifier) DO UPDATE SET {column} = excluded.{column}"


def _make_sound(connection: sqlite3.Connection) -> None:
    """Raises `sqlite3.DatabaseError` where the file is damaged."""
    problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if problem != "ok":
        raise sqlite3.DatabaseError(problem)
    if databases.version(connection) == 0:
        connection.execute("PRAGMA journal_mode = WAL")
        databases.in_transaction(connection, _make_tables)


def _make_tables(connection: sqlite3.Connection) -> None:
    if databases.version(connection) == 0:  # no other process was quicker
        for statement in _TABLES:
            connection.execute(statement)
