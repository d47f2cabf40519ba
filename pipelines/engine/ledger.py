"""All jobs of an engine: those that wait and the one that runs, and behind them, in the job table, those that ended."""

import logging
import sqlite3
import time
from collections import Counter, deque
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from concurrent.futures import Future
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipelines.engine.costs import Costs
from pipelines.engine.errors import ProgramDied
from pipelines.engine.jobs import LAST_EVENTS, Event, Failed, Finished, Job, Queued, Saved, Stopped, Tally, Warned
from pipelines.engine.line import Line
from pipelines.engine.store import JobStore
from presets.errors import UserError
from presets.gallery import Gallery
from presets.metadata import MetadataUnreadable, read_request
from presets.requests import AnyRequest

KEPT_JOBS = 200
"""Ended jobs that are held with all their events."""
KEPT_SECONDS = 24 * 3600.0
"""How long what became of a job can be asked for."""
LISTED_JOBS = 50
"""Of one owner's ended jobs."""
TOLD_PLACES = 10
"""Jobs at the head of the line that are told of every change of place."""
ESTIMATED_PLACES = 1000
TRIES = 2
"""How often one program begins a job at most, where each time the worker died before another picture was saved."""
SUSPECT_TRIES = 4
"""How often all programs do so, where the worker or the program died, before the job waits behind all others."""
ALL_TRIES = 12
"""How often all programs do at most."""
PICTURES_SEARCHED = 200
"""The gallery's newest pictures, among which those of a job that was cut off are looked for."""

_log = logging.getLogger("easel.jobs")


def _is_suspect(job: Job) -> bool:
    return job.started is not None and job.tries >= SUSPECT_TRIES


class Ledger:
    """Not safe between threads by itself: the engine calls it under its lock, but for `find` and `of`."""

    def __init__(self, store: JobStore, costs: Costs | None = None):
        self.line = Line()
        self.running: dict[str, Job] = {}
        """The job that runs; several, by identifier, where they are drawn at once."""
        self.tally = Tally()
        self.is_durable = store.is_durable
        self._store = store
        self._costs = costs or Costs()
        self._jobs: dict[str, Job] = {}
        self._ended: deque[str] = deque()
        self._cut_off: set[str] = set()
        """Jobs that were perhaps begun before, by this program or one before it."""
        self._deaths: Counter[str] = Counter()
        """Of workers, by job, since it last saved a picture."""
        self._places = 0
        self._forgotten = 0.0

    def restore(self, cancel: Callable[[Job], None], detail: str) -> None:
        """Take up the jobs that an earlier program left. They are told that they wait for `detail`. One that programs
        died of again and again waits until all others had their turn."""
        jobs = self._store.unfinished(cancel)
        self._places = max((job.place for job in jobs), default=0)
        for job in sorted(jobs, key=_is_suspect):
            self._jobs[job.id] = job
            job.kept = True
            if job.started is not None and job.tries >= ALL_TRIES:
                self.put(job, _failed(ProgramDied(job.tries)))
                continue
            self._cut_off.add(job.id)
            is_last, job.started = _is_suspect(job), None
            if is_last:
                self._places += 1
                job.place = self._places
                self._store.update(job)
            self.line.append(job)
            job.put(Queued(position=len(self.line), detail=detail))

    def accept(self, job: Job, detail: str, warnings: Iterable[str]) -> "Future[None]":
        """Put a new job into the line, and tell it where it is, that it waits for `detail`, and `warnings`. What is
        returned is done once it is written down."""
        self._places += 1
        job.place = self._places
        self._jobs[job.id] = job
        self.line.append(job)
        position = self.line.position(job)
        seconds = self._seconds_before(job) if position <= TOLD_PLACES else None
        job.put(Queued(position=position, detail=detail, seconds=seconds))
        for warning in warnings:
            job.put(Warned(message=warning))
        return self._store.add(job)

    def find(self, identifier: str) -> Job | None:
        return self._jobs.get(identifier) or self._store.get(identifier)

    def of(self, owner: str) -> list[Job]:
        """The newest first: those that wait or run, and the latest that ended."""
        own = [job for job in list(self._jobs.values()) if job.owner == owner]
        known = {job.id for job in own}
        stored = [job for job in self._store.ended_of(owner, LISTED_JOBS) if job.id not in known]
        return sorted((*own, *stored), key=lambda job: job.created, reverse=True)

    @property
    def current(self) -> Job | None:
        """The job that runs, the first where there are several."""
        return next(iter(self.running.values()), None)

    def take(self, resident: Container[str], number_for: Callable[[AnyRequest], int] = lambda _: 1) -> list[Job]:
        """Begin the job that is next where the checkpoints `resident` are in memory, and others that can be drawn at
        once with it, as many as `number_for` says of its request. None where none waits."""
        first = self.line.take(resident)
        if first is None:
            return []
        jobs = [first]
        if self._is_new(first) and (number := number_for(first.request)) > 1:
            jobs += self.line.take_like(first, number - 1, self._is_new)
        for job in jobs:
            job.started = time.time()
            job.tries += 1
            self.running[job.id] = job
            self._store.update(job)
        return jobs

    def _is_new(self, job: Job) -> bool:
        """Whether it was never begun: one that a worker died of is drawn alone."""
        return job.tries == 0 and job.id not in self._cut_off

    def put(self, job: Job, event: Event) -> None:
        """An event of a job's; its last one ends it."""
        if job.done:
            return
        is_last = isinstance(event, LAST_EVENTS)
        if is_last:
            job.ended = time.time()
            self.running.pop(job.id, None)
        if isinstance(event, Finished):
            event = self._learnt(job, event)
        job.put(event)
        if isinstance(event, Saved):
            job.tries = min(job.tries, 1)
            self._deaths.pop(job.id, None)
            self.tally = self.tally.model_copy(update={"pictures": self.tally.pictures + 1})
        if is_last:
            self._count(job)
        if is_last or isinstance(event, Saved):
            self._store.update(job)

    def put_back(self, error: UserError, detail: str) -> None:
        """The worker died. What ran is next once more, or fails with `error` if it has been tried enough."""
        self.tally = self.tally.model_copy(update={"worker_deaths": self.tally.worker_deaths + 1})
        jobs, self.running = list(self.running.values()), {}
        for job in reversed(jobs):
            self._put_back(job, error, detail)

    def _put_back(self, job: Job, error: UserError, detail: str) -> None:
        self._deaths[job.id] += 1
        self._cut_off.add(job.id)
        if job.is_cancelled:
            self.put(job, Stopped())
        elif self._deaths[job.id] >= TRIES:
            self.put(job, _failed(error))
        else:
            job.started = None
            self.line.put_first(job)
            job.put(Queued(position=1, detail=detail))
            self._store.update(job)

    def cancel(self, job: Job) -> bool:
        """Whether it runs, which the worker is to be told of; one that waits is stopped here."""
        job.is_cancelled = True
        if self.line.remove(job):
            self.put(job, Stopped())
            self.tell_places()
        elif job.id in self.running:
            self._store.update(job)
        return job.id in self.running

    def move_up(self, job: Job) -> bool:
        before = self.line.move_up(job)
        if before is None:
            return False
        job.place, before.place = before.place, job.place
        self._store.update(job)
        self._store.update(before)
        self.tell_places()
        return True

    def keep(self, job: Job) -> None:
        job.kept = True
        self._store.update(job)

    def left_for(self, seconds: float, *, also_running: bool) -> list[Job]:
        """The jobs, not kept, that wait or run and that nobody has watched for `seconds`."""
        running = list(self.running.values()) if also_running else []
        return [job for job in (*self.line, *running) if not job.kept and job.is_left(seconds)]

    def forget(self) -> None:
        """Remove from the table, now and then, what ended long ago; where the disk refuses, the next time."""
        if time.monotonic() > self._forgotten + KEPT_SECONDS / 100:
            self._forgotten = time.monotonic()
            try:
                self._store.forget(time.time() - KEPT_SECONDS)
            except (sqlite3.Error, OSError) as error:
                _log.error("Jobs that ended long ago could not be removed: %s", error)

    def places(self, owner: str) -> dict[str, Queued]:
        """By job: where those of `owner` that wait stand."""
        return {job.id: _told(position, seconds) for position, job, seconds in self._order() if job.owner == owner}

    def tell_places(self, limit: int | None = TOLD_PLACES) -> None:
        """Tell those jobs of the first `limit` of the line that are watched where they stand, if they have moved."""
        for position, job, seconds in islice(self._order(), limit):
            last = job.last_event
            if job.is_watched and not (isinstance(last, Queued) and last.position == position):
                job.put(_told(position, seconds))

    def may_have_saved(self, job: Job) -> bool:
        """Whether it may have pictures that it was not told of."""
        return job.id in self._cut_off

    def find_saved(self, job: Job, gallery: Gallery) -> None:
        """Tell a job of the pictures that it had saved and not been told of. Where the gallery cannot be read, they are
        made again."""
        told = {saved.index for saved in job.saved}
        try:
            recent = gallery.recent(PICTURES_SEARCHED, owner=job.owner or None)
        except (sqlite3.Error, OSError) as error:
            _log.error("The pictures that job %s had saved could not be looked for: %s", job.id, error)
            return
        for index in range(len(told), job.request.picture_count):
            wanted = job.request.picture(index)
            records = ((picture.path, _record(picture.path)) for picture in recent if picture.request == wanted)
            found = next(((path, record) for path, record in records if record.get("job") == job.mark), None)
            if found is None:
                return
            self.put(job, _found(index, wanted, *found))

    def fail_all(self, error: UserError) -> None:
        """Every job that waits or runs fails."""
        for job in self._unfinished():
            self.put(job, _failed(error))

    def suspend(self, error: UserError) -> None:
        """Tell all who wait that nothing runs any more, by `error`. In the table the jobs stay as they are, to be taken
        up at the next start; for the one that runs, which may still save a picture, this was no try."""
        unfinished = self._unfinished()
        for job in unfinished:
            if job.started is not None:
                job.tries -= 1
                self._store.update(job)
        for job in unfinished:
            job.put(_failed(error))

    def close(self) -> None:
        self._store.close()

    def _unfinished(self) -> list[Job]:
        jobs = [*self.line, *self.running.values()]
        self.line, self.running = Line(), {}
        return jobs

    def expected(self, job: Job) -> float | None:
        """The seconds that it will take; None where that cannot be told."""
        return self._costs.expected(job.request)

    def _seconds_before(self, job: Job) -> float | None:
        return next((seconds for _, other, seconds in self._order() if other is job), None)

    def _order(self) -> Iterator[tuple[int, Job, float | None]]:
        """Each waiting job with its place, from 1, and the seconds until it begins."""
        seconds = self._seconds_left()
        for position, job in enumerate(self.line, start=1):
            yield position, job, seconds
            expected = self.expected(job) if position < ESTIMATED_PLACES else None
            seconds = None if seconds is None or expected is None else seconds + expected

    def _seconds_left(self) -> float | None:
        """Until what runs has ended."""
        if self.current is None:
            return 0.0
        expected = self.expected(self.current)
        elapsed = time.time() - (self.current.started or time.time())
        return None if expected is None else max(0.0, expected * len(self.running) - elapsed)

    def _learnt(self, job: Job, event: Finished) -> Finished:
        """`event` with the seconds that the job waited, once it is known what such jobs take."""
        total = event.timings.get("total")
        if total and job.id not in self._cut_off:
            loading = sum(saved.timings.get("load", 0.0) for saved in job.saved)
            self._costs.learn(job.request, total / event.together, loading)
        if job.started is None:
            return event
        return event.model_copy(update={"timings": {**event.timings, "queue": round(job.started - job.created, 4)}})

    def _count(self, job: Job) -> None:
        seconds = job.ended - job.started if job.ended and job.started else 0.0
        self.tally = self.tally.model_copy(
            update={
                job.state: getattr(self.tally, job.state) + 1,
                "seconds": self.tally.seconds + seconds,
            }
        )
        self._cut_off.discard(job.id)
        self._deaths.pop(job.id, None)
        self._ended.append(job.id)
        while len(self._ended) > KEPT_JOBS:
            self._jobs.pop(self._ended.popleft(), None)


def _record(path: Path) -> Mapping[str, Any]:
    """What a picture says of itself; nothing where that cannot be read."""
    try:
        recovered = read_request(path)
    except MetadataUnreadable:
        return {}
    return recovered.record if recovered else {}


def _found(index: int, request: AnyRequest, path: Path, record: Mapping[str, Any]) -> Saved:
    """The event of a picture that was saved before, as its file tells it."""
    told = {name: record[name] for name in ("timings", "peak_memory", "warnings", "notes") if name in record}
    try:
        return Saved.model_validate({**told, "index": index, "path": path, "request": request})
    except ValidationError:  # somebody changed the file
        return Saved(index=index, path=path, request=request)


def _told(position: int, seconds: float | None) -> Queued:
    return Queued(position=position, seconds=None if seconds is None else round(seconds, 1))


def _failed(error: UserError) -> Failed:
    return Failed(code=error.code, message=error.message, field=error.field)
