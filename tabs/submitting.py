"""A job begun from the event loop, and a visitor's jobs that wait to be seen."""

import asyncio

from pipelines.engine.jobs import Engine, Job
from presets.request import Request
from presets.requests import AnyRequest


def unseen(engine: Engine, owner: str, kind: type[Request]) -> list[Job]:
    """The jobs of `owner` and `kind` that go on, or that ended while nobody watched; the oldest first."""
    own = [job for job in engine.jobs_of(owner) if isinstance(job.request, kind)]
    return [job for job in reversed(own) if not (job.done and job.is_seen)]


async def submit(engine: Engine, request: AnyRequest, *, owner: str, kept: bool) -> Job:
    """`engine.submit`, which writes to the disk, without holding up the event loop.

    A caller that is cancelled meanwhile leaves no job behind.
    """
    submitting = asyncio.create_task(asyncio.to_thread(engine.submit, request, owner=owner, kept=kept))
    try:
        return await asyncio.shield(submitting)
    except asyncio.CancelledError:
        submitting.add_done_callback(_cancel_job)
        raise


def _cancel_job(submitting: "asyncio.Task[Job]") -> None:
    if not submitting.cancelled() and not submitting.exception():
        submitting.result().cancel()
