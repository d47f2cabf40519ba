"""The job table: what was accepted is written down before anybody is told so.

One SQLite file belongs to one program, which locks it for as long as it lives; a second program of the same home has
one of its own, and whoever starts later takes over what a dead one left. Writes are made in a thread, several at once:
a new job's reach the disk before `add`'s answer is there, all others with the next of them. A job whose latest change
was lost runs as if that had not been made; its pictures are found again in the gallery.
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import closing, suppress
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from pipelines.engine.jobs import Event, Job, Stopped
from presets.errors import UserError
from presets.requests import AnyRequest

VERSION = 1
RETRY_SECONDS = 1.0
"""Between attempts to write what the disk refused."""
FILES = 100
"""Programs of one home at once, at most."""

_log = logging.getLogger("easel.jobs")
_REQUEST: TypeAdapter[AnyRequest] = TypeAdapter(AnyRequest)
_EVENTS: TypeAdapter[list[Event]] = TypeAdapter(list[Event])
_TABLE = """
CREATE TABLE jobs (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL, request TEXT NOT NULL, created REAL NOT NULL, state TEXT NOT NULL,
    kept INTEGER NOT NULL, tries INTEGER NOT NULL, place INTEGER NOT NULL, started REAL, ended REAL,
    events TEXT NOT NULL
)
"""
_COLUMNS = "id, owner, request, created, state, kept, tries, place, started, ended, events"
_INSERT = f"INSERT OR REPLACE INTO jobs ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_UPDATE = "UPDATE jobs SET state=?, kept=?, tries=?, place=?, started=?, ended=?, events=? WHERE id=?"
_UNFINISHED = "state IN ('queued', 'running')"

Values = tuple[str | float | int | None, ...]


class JobNotWritten(UserError):
    """The disk refused a job."""

    code = "E-DISK"

    def __init__(self, error: Exception):
        full = "the disk is full; make room on it and try again"
        super().__init__(f"Jobs cannot be written to the disk: {full if 'full' in str(error) else error}.")


class _Taken(Exception):
    """The file belongs to another program that lives."""


def open_store(folder: Path) -> "JobStore":
    """The first table under `folder` that no other program uses, with the jobs that dead ones left in others.

    Raises `JobNotWritten` where the folder cannot be written.
    """
    mine: JobStore | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(1, FILES):
            path = folder / f"{number}.sqlite"
            if mine is not None and not path.exists():
                return mine
            with suppress(_Taken):
                if mine is None:
                    mine = JobStore(path)
                else:
                    mine.take_over(path)
    except (OSError, sqlite3.Error) as error:
        raise JobNotWritten(error) from error
    if mine is None:
        raise JobNotWritten(OSError(f"{FILES} programs use {folder}"))
    return mine


class JobStore:
    """The table in the file `path`, or in memory alone. Any thread may use it."""

    def __init__(self, path: Path | None = None):
        """Raises `sqlite3.Error` and `OSError`."""
        self.is_durable = path is not None
        self._connection = _opened(path)
        self._reading = threading.Lock()
        """Held by whoever uses the connection."""
        self._news = threading.Condition()
        self._added: list[tuple[Values, Future[None]]] = []
        self._changed: dict[str, Values] = {}
        self._is_writing = False
        self._closed = False
        self._thread: threading.Thread | None = None

    def add(self, job: Job) -> "Future[None]":
        """Write a new job down. What is returned is done once it is on the disk, or raises `JobNotWritten`."""
        request = job.request.model_dump_json()
        state = _state_of(job)
        written: Future[None] = Future()
        with self._news:
            self._added.append(((job.id, job.owner, request, job.created, *state), written))
            self._wake()
        return written

    def update(self, job: Job) -> None:
        """Have the job's state written soon."""
        state = _state_of(job)
        with self._news:
            self._changed[job.id] = (*state, job.id)
            self._wake()

    def unfinished(self, cancel: Callable[[Job], None]) -> list[Job]:
        """The jobs that wait or run, as they were left: those that ran come first. They are told of `cancel`."""
        rows = self._read(f"WHERE {_UNFINISHED} ORDER BY state = 'queued', place")
        return [job for row in rows if (job := _job(row, cancel))]

    def get(self, identifier: str) -> Job | None:
        """A job that has ended."""
        rows = self._read(f"WHERE id = ? AND NOT {_UNFINISHED}", identifier)
        return _job(rows[0]) if rows else None

    def ended_of(self, owner: str, limit: int) -> list[Job]:
        """The latest jobs of `owner` that have ended, the newest first."""
        condition = f"WHERE owner = ? AND NOT {_UNFINISHED} ORDER BY created DESC LIMIT ?"
        return [job for row in self._read(condition, owner, limit) if (job := _job(row))]

    def begun_since(self, created: float) -> list[Job]:
        """The jobs that came in since a time, but for those that ended before they were begun; the oldest first."""
        rows = self._read(f"WHERE created > ? AND (started NOT NULL OR {_UNFINISHED}) ORDER BY created", created)
        return [job for row in rows if (job := _job(row))]

    def forget(self, before: float) -> None:
        """Remove the jobs that ended before a time."""
        self._flush()
        with self._reading:
            self._connection.execute("DELETE FROM jobs WHERE ended < ?", (before,))

    def take_over(self, path: Path) -> None:
        """Bring the jobs of another file here, and remove it. Raises `_Taken`, `sqlite3.Error`, `OSError`."""
        with closing(_opened(path)) as other:
            rows = other.execute(f"SELECT {_COLUMNS} FROM jobs").fetchall()
            with self._reading, self._connection:
                self._connection.execute("BEGIN")
                self._connection.executemany(_INSERT, rows)
        for ending in ("", "-wal", "-shm"):
            path.with_name(path.name + ending).unlink(missing_ok=True)

    def close(self) -> None:
        """Write what is still to be written. Nothing can be added any more."""
        self._flush()
        with self._news:
            self._closed = True
            self._news.notify_all()
        if self._thread is not None:
            self._thread.join(timeout=5)
        with self._reading:
            self._connection.close()

    def _read(self, rest: str, *values: str | float) -> list[Values]:
        self._flush()
        with self._reading:
            return self._connection.execute(f"SELECT {_COLUMNS} FROM jobs {rest}", values).fetchall()

    def _flush(self) -> None:
        """Wait until what is known now is written, for as long as the disk takes it."""
        with self._news:
            self._news.wait_for(lambda: not (self._added or self._changed or self._is_writing), timeout=5)

    def _wake(self) -> None:
        """Called with `_news` held."""
        if self._closed:
            raise JobNotWritten(OSError("the program is being closed"))
        if self._thread is None:
            self._thread = threading.Thread(target=self._write, name="easel-jobs", daemon=True)
            self._thread.start()
        self._news.notify_all()

    def _write(self) -> None:
        while True:
            with self._news:
                self._is_writing = False
                self._news.notify_all()
                self._news.wait_for(lambda: self._added or self._changed or self._closed)
                if not (self._added or self._changed):
                    return
                added, self._added = self._added, []
                changed, self._changed = self._changed, {}
                self._is_writing = True
            self._write_batch(added, changed)

    def _write_batch(self, added: Sequence[tuple[Values, "Future[None]"]], changed: dict[str, Values]) -> None:
        try:
            with self._reading, self._connection:
                self._connection.execute(f"PRAGMA synchronous = {'FULL' if added else 'NORMAL'}")
                self._connection.execute("BEGIN")
                self._connection.executemany(_INSERT, [values for values, _ in added])
                self._connection.executemany(_UPDATE, list(changed.values()))
        except (sqlite3.Error, OSError) as error:
            self._put_back(added, changed, error)
            return
        for _, written in added:
            written.set_result(None)

    def _put_back(
        self, added: Sequence[tuple[Values, "Future[None]"]], changed: dict[str, Values], error: Exception
    ) -> None:
        """The disk refused: new jobs are not accepted, and the state of the others is written as soon as it can be."""
        _log.error("The state of jobs could not be written: %s", error)
        for _, written in added:
            written.set_exception(JobNotWritten(error))
        refused = {values[0] for values, _ in added}
        with self._news:
            if not self._closed:
                kept = {identifier: values for identifier, values in changed.items() if identifier not in refused}
                self._changed = kept | self._changed
        time.sleep(RETRY_SECONDS)


def _opened(path: Path | None) -> sqlite3.Connection:
    """A connection that no other program has beside it. Raises `_Taken`, `sqlite3.Error`."""
    connection = sqlite3.connect(path or ":memory:", timeout=0.0, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN EXCLUSIVE")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version != VERSION:
            connection.execute("DROP TABLE IF EXISTS jobs")
            connection.execute(_TABLE)
            connection.execute("CREATE INDEX by_owner ON jobs (owner, created)")
            connection.execute("CREATE INDEX by_end ON jobs (ended)")
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        connection.close()
        if "locked" in str(error):
            raise _Taken from error
        if path is None or type(error) is not sqlite3.DatabaseError:  # its subclasses say other things than "corrupt"
            raise
        aside = path.with_suffix(".damaged")
        path.replace(aside)
        _log.error("The job table is damaged; a new one is made, and the old one kept as %s", aside)
        return _opened(path)
    return connection


def _state_of(job: Job) -> Values:
    state = "cancelled" if job.is_cancelled and not job.done else job.state
    ended = job.ended or (time.time() if state == "cancelled" else None)
    events = _EVENTS.dump_json(job.lasting_events).decode()
    return state, job.kept, job.tries, job.place, job.started, ended, events


def _nothing(_: Job) -> None:
    """How a job that has ended is cancelled."""


def _job(row: Values, cancel: Callable[[Job], None] = _nothing) -> Job | None:
    """The job of a row; None where it cannot be read by this version of the program. One that was asked to stop when
    the program ended has stopped."""
    identifier, owner, request, created, state, kept, tries, place, started, ended, events = row
    try:
        job = Job(
            _REQUEST.validate_json(str(request)),
            cancel,
            owner=str(owner),
            kept=bool(kept),
            identifier=str(identifier),
            events=_EVENTS.validate_json(str(events)),
        )
    except ValidationError:
        _log.warning("Job %s was written by another version and cannot be read", identifier)
        return None
    job.created, job.started, job.ended = float(created or 0), _number(started), _number(ended)
    job.tries, job.place = int(tries or 0), int(place or 0)
    if state == "cancelled":
        job.put(Stopped())  # where that is not its last event yet
    return job


def _number(value: str | float | int | None) -> float | None:
    return None if value is None else float(value)
