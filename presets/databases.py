"""SQLite files that several processes read and write at once."""

import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import TypeVar

LOCK_SECONDS = 30.0
RETRY_SECONDS = 0.02

Answer = TypeVar("Answer")


def connected(path: Path, work: Callable[[sqlite3.Connection], Answer]) -> Answer:
    """`work` done on a connection of its own, in which each statement is its own transaction until one is begun."""
    with closing(sqlite3.connect(path, timeout=LOCK_SECONDS, isolation_level=None)) as connection:
        return work(connection)


def looked_at(paths: Mapping[str, Path], work: Callable[[sqlite3.Connection], Answer]) -> Answer:
    """`work`, which only reads, done on the files at `paths`, each under the name of its schema, as they lie there:
    also where nothing can be written, not even what SQLite needs beside them. The latest changes may be missing."""
    with closing(sqlite3.connect(":memory:", uri=True, isolation_level=None)) as connection:
        for schema, path in paths.items():
            connection.execute(f"ATTACH ? AS {schema}", (f"{path.absolute().as_uri()}?immutable=1",))
        return work(connection)


def is_refused(error: sqlite3.OperationalError) -> bool:
    """Whether the disk could not be written."""
    return any(said in str(error) for said in ("full", "disk I/O", "unable to open", "readonly"))


def patiently(work: Callable[[], Answer]) -> Answer:
    """`work`, which may mean more than once.

    SQLite gives up at once, and not after `LOCK_SECONDS`, where waiting could be a deadlock, as when two processes meet
    at a new file.
    """
    end = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            return work()
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
        time.sleep(RETRY_SECONDS)


def in_transaction(connection: sqlite3.Connection, change: Callable[[sqlite3.Connection], Answer]) -> Answer:
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        return change(connection)


def is_damaged(error: sqlite3.DatabaseError) -> bool:
    """Whether a file is no database, or none any more; the subclasses say other things."""
    return type(error) is sqlite3.DatabaseError


def version(connection: sqlite3.Connection, schema: str = "main") -> int:
    return connection.execute(f"PRAGMA {schema}.user_version").fetchone()[0]


def beside(path: Path) -> list[Path]:
    """All files of the database at `path`, itself the last."""
    return [path.with_name(path.name + ending) for ending in ("-wal", "-shm", "")]
