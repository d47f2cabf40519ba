"""A job's events as updates of the page."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from pipelines.engine.jobs import (
    Engine,
    Event,
    Failed,
    Finished,
    Job,
    Loading,
    Progress,
    Queued,
    Stopped,
    Warned,
)
from tabs import markup
from tabs.job_lines import ending_line, notes_of, progress_line, waiting_line
from tabs.output import Output, Updates
from tabs.turns import turn

PROGRESS_SECONDS = 0.05
"""Steps that follow each other faster than this are not all drawn."""


async def paced(job: Job) -> AsyncGenerator[Event, None]:
    """The job's events without those steps that nobody could see."""
    drawn = float("-inf")
    async with aclosing(job.stream()) as events:
        async for event in events:
            if isinstance(event, Progress):
                now = time.monotonic()
                if now - drawn < PROGRESS_SECONDS and event.preview is None and event.step < event.steps:
                    continue
                drawn = now
            await turn()
            yield event


def updates_of(engine: Engine, output: Output, job: Job, event: Event, place: str = "") -> Updates:
    """`place` begins the lines of a job that is one of several."""
    match event:
        case Queued():
            return {output.status: markup.progress(place + waiting_line(engine, event), None)}
        case Loading():
            return {output.status: markup.progress(place + event.line, event.fraction)}
        case Progress():
            return _progress_updates(output, job, event, place)
        case Failed():
            return {output.status: markup.error(f"{event.message} [{event.code}]")}
        case Finished() | Stopped():
            return {output.status: markup.notice(ending_line(job, event), notes_of(job))}
        case Warned():
            return {output.status: markup.notice(event.message)}
    return {}


def _progress_updates(output: Output, job: Job, event: Progress, place: str) -> Updates:
    fraction = (event.picture - 1 + event.step / event.steps) / event.pictures
    updates: Updates = {output.status: markup.progress(place + progress_line(event), fraction)}
    if event.preview:
        source = markup.jpeg_source(event.preview)
        updates[output.stage] = markup.picture(source, job.request.canvas, "The picture so far", finished=False)
    return updates
