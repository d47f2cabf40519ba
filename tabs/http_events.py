"""A job's events as a stream of server-sent events that can be resumed."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from pipelines.engine.jobs import LAST_EVENTS, Event, Job
from tabs.http_views import event_view
from tabs.turns import turn

PAUSE_SECONDS = 15.0
"""After which an empty line tells that the stream still stands."""
LAST = "last"
"""Stands for the last event's number in its id."""


async def server_sent(job: Job, first: int, run: str, base: str) -> AsyncGenerator[str, None]:
    """The events from `first` on, each under its own id, by which `first_after` finds the one behind it.

    `run` marks this run of the program.
    """
    index = first
    async with aclosing(job.stream(first)) as events:
        async for event in _with_pauses(events):
            if event is None:
                yield ":\n\n"
                continue
            await turn()
            number = LAST if isinstance(event, LAST_EVENTS) else index
            yield f"id: {run}-{number}\nevent: {event.type}\ndata: {json.dumps(event_view(job, event, base))}\n\n"
            index += 1


def first_after(job: Job, last: str | None, run: str) -> int | None:
    """The index of the event behind the one that a client's `Last-Event-ID` names; None where that was the job's last.

    All are sent again, from 0 on, where the id is of another run of the program, or the job's steps are not known any
    more.
    """
    mark, _, number = (last or "").rpartition("-")
    if mark != run:
        return 0
    if number == LAST and job.done:
        return None
    known = job.is_whole and number.isascii() and number.isdigit() and len(number) < 10
    return int(number) + 1 if known else 0


async def _with_pauses(events: AsyncIterator[Event]) -> AsyncGenerator[Event | None, None]:
    """`events`, and None wherever the next one takes its time."""
    following = asyncio.ensure_future(anext(events, None))
    try:
        while True:
            done, _ = await asyncio.wait((following,), timeout=PAUSE_SECONDS)
            if not done:
                yield None
                continue
            event = following.result()
            if event is None:
                return
            yield event
            following = asyncio.ensure_future(anext(events, None))
    finally:
        following.cancel()
        await asyncio.wait((following,))
