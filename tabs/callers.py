"""The jobs of those who call Gradio's endpoints: who goes away leaves none behind.

Gradio closes a call whose connection has ended only once its job tells of something more, a step or more later; and it
goes on with one that was sent and whose answer nobody ever began to read.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from gradio.queueing import Queue

from pipelines.engine.jobs import Job

_jobs: dict[str, set[Job]] = {}
"""By session, a random word that each caller makes up. Changed on the event loop alone."""

_readers: Counter[str] = Counter()
"""By session: how many wait for what it is told. Changed on the event loop alone."""
_arrivals: dict[str, asyncio.Event] = {}
"""By session whose reader a call waits for."""
LOOK_SECONDS = 2.0
"""Between looks whether a job that nobody listens to has ended."""


class Messages(asyncio.Queue[Any]):
    """What a session is told and has not read yet."""

    def __init__(self, session: str):
        super().__init__()
        self._session = session

    async def get(self) -> Any:
        _readers[self._session] += 1
        if self._session in _arrivals:
            _arrivals.pop(self._session).set()
        try:
            return await super().get()
        finally:
            _readers[self._session] -= 1
            if not _readers[self._session]:
                del _readers[self._session]


async def listening(session: str | None, job: Job) -> None:
    """Wait until the session's answers are read, or the job has ended. Whoever has sent a job and does not come for
    its answer watches it as little as a page that was closed."""
    try:
        while session and not _readers[session] and not job.done:
            arrival = _arrivals.setdefault(session, asyncio.Event())
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(arrival.wait(), LOOK_SECONDS)
    finally:
        _arrivals.pop(session or "", None)


@contextmanager
def calling(session: str | None, job: Job) -> Iterator[None]:
    """While it lasts, `job` ends with the session's connection; afterwards it has ended."""
    jobs = _jobs.setdefault(session or "", set())
    jobs.add(job)
    try:
        yield
    finally:
        job.cancel()
        jobs.discard(job)
        if not jobs:
            _jobs.pop(session or "", None)


def watch(queue: Queue) -> None:
    """Cancel the jobs of sessions as `queue` learns that their connections have ended."""
    clean = queue.clean_events

    async def clean_events(*, session_hash: str | None = None, event_id: str | None = None) -> None:
        for job in tuple(_jobs.get(session_hash or "", ())) if session_hash else ():
            job.cancel()
        await clean(session_hash=session_hash, event_id=event_id)

    queue.clean_events = clean_events
