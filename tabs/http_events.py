"""A job's events as a stream of server-sent events that can be resumed."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from pipelines.engine.jobs import Event, Job
from tabs.http_views import event_view

PAUSE_SECONDS = 15.0
"""After which an empty line tells that the stream still stands."""


async def server_sent(job: Job, last: str | None, run: str, base: str) -> AsyncGenerator[str, None]:
    """The events after the one that the client's `Last-Event-ID` names, each under its own.

    `run` marks this run of the program: after another, of which no steps are known any more, all are sent again.
    """
    index = _first(last, run)
    async with aclosing(job.stream(index)) as events:
        async for event in _with_pauses(events):
            if event is None:
                yield ":\n\n"
                continue
            yield f"id: {run}-{index}\nevent: {event.type}\ndata: {json.dumps(event_view(job, event, base))}\n\n"
            index += 1


def _first(last: str | None, run: str) -> int:
    mark, _, number = (last or "").rpartition("-")
    return int(number) + 1 if mark == run and number.isascii() and number.isdigit() and len(number) < 10 else 0


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
