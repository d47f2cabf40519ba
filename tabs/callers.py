"""The jobs of those who call Gradio's endpoints: who goes away leaves none behind.

Gradio closes a call whose connection has ended only once its job tells of something more, a step or more later.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from gradio.queueing import Queue

from pipelines.engine.jobs import Job

_jobs: dict[str, set[Job]] = {}
"""By session, a random word that each caller makes up. Changed on the event loop alone."""


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
