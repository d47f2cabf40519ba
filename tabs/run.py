"""Generate and Cancel: a job's events become updates of the page, and its failures sentences, in this one place."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import gradio as gr
from gradio.events import Dependency

from pipelines.engine.jobs import (
    Engine,
    EngineStatus,
    Event,
    Failed,
    Finished,
    Job,
    Loading,
    Progress,
    Queued,
    Saved,
    Stopped,
    Warned,
)
from presets.errors import UserError
from presets.request import Request
from presets.requests import AnyRequest
from tabs import markup
from tabs.form import Form
from tabs.output import Output, Pictures, Updates
from tabs.owners import owner_of_page
from tabs.turns import turn
from tabs.updates import on_page_load

PROGRESS_SECONDS = 0.05
"""Steps that follow each other faster than this are not all drawn."""
STATUS_SECONDS = 0.5


def connect(engine: Engine, form: Form, output: Output, generate: gr.Button, cancel: gr.Button) -> Dependency:
    """Let `generate` run the form's request and `cancel` stop this page's job. What is returned tells when one ended.

    A waiting page holds no thread. The job of a page that is closed goes on, and the browser's next page shows it.
    """

    async def run(request: gr.Request, *values: Any) -> AsyncGenerator[Updates, None]:
        *fields, pictures = values
        try:
            job = await submit(engine, form.request(fields), owner=owner_of_page(request), kept=False)
        except UserError as problem:
            yield {output.status: markup.error(str(problem))}
            return
        async with aclosing(shown(job, pictures)) as updates:
            async for update in updates:
                yield update

    async def resume(request: gr.Request) -> AsyncGenerator[Updates, None]:
        """Show a fresh page what its browser's jobs of this kind do, and the pictures that nobody has seen."""
        pictures: Pictures = ()
        for job in await asyncio.to_thread(unseen, engine, owner_of_page(request), form.kind):
            async with aclosing(shown(job, pictures)) as updates:
                async for update in updates:
                    pictures = update.get(output.pictures, pictures)
                    yield update
        yield {output.job: gr.skip()}  # Gradio wants something of every generator

    async def shown(job: Job, pictures: Pictures) -> AsyncGenerator[Updates, None]:
        yield {
            output.job: job.id,
            output.status: markup.progress(waiting_line(engine, Queued(position=1)), None),
            generate: gr.update(interactive=False),
            cancel: gr.update(interactive=True),
        }
        async with aclosing(_paced(job)) as events:
            async for event in events:
                if isinstance(event, Saved):
                    pictures = (event, *pictures)
                    yield output.added(pictures)
                else:
                    yield _updates(engine, output, job, event)

    def stop(identifier: str) -> None:
        job = engine.job(identifier)
        if job:
            job.cancel()

    def settle(pictures: Pictures, selected: int) -> Updates:
        """However the job ended: the buttons as before it, and on the stage no preview but the selected picture."""
        return {
            generate: gr.update(interactive=True),
            cancel: gr.update(interactive=False),
            output.stage: output.stage_of(pictures, selected),
        }

    def complaint(*values: Any) -> Any:
        """What the validator says beside a field, here too, as the field may lie in a closed part of the form.

        Connected before `run`: Gradio drops the listeners after one whose validator complains.
        """
        try:
            form.request(values)
        except UserError as problem:
            return markup.error(str(problem))
        return gr.skip()

    generate.click(
        complaint,
        form.inputs,
        output.status,
        queue=False,
        preprocess=False,
        show_progress="hidden",
        api_visibility="private",
    )
    running = generate.click(
        run,
        [*form.inputs, output.pictures],
        [*output.components, generate, cancel],
        validator=form.check,
        preprocess=False,
        concurrency_limit=None,
        show_progress="hidden",
        api_visibility="private",
    )
    resumed = on_page_load(
        resume,
        None,
        [*output.components, generate, cancel],
        concurrency_limit=None,
        show_progress="hidden",
        api_visibility="private",
    )
    for ended in (running, resumed):
        ended.then(
            settle,
            [output.pictures, output.selected],
            [generate, cancel, output.stage],
            queue=False,
            show_progress="hidden",
            api_visibility="private",
        )
    cancel.click(stop, output.job, None, queue=False, show_progress="hidden", api_visibility="private")
    return running


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


async def _paced(job: Job) -> AsyncGenerator[Event, None]:
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


def _updates(engine: Engine, output: Output, job: Job, event: Event) -> Updates:
    match event:
        case Queued():
            return {output.status: markup.progress(waiting_line(engine, event), None)}
        case Loading():
            return {output.status: markup.progress(f"Loading {event.what}…", event.fraction)}
        case Progress():
            return _progress_updates(output, job, event)
        case Failed():
            return {output.status: markup.error(f"{event.message} [{event.code}]")}
        case Finished() | Stopped():
            return {output.status: markup.notice(ending_line(job, event), notes_of(job))}
        case Warned():
            return {output.status: markup.notice(event.message)}
    return {}


def _progress_updates(output: Output, job: Job, event: Progress) -> Updates:
    fraction = (event.picture - 1 + event.step / event.steps) / event.pictures
    updates: Updates = {output.status: markup.progress(progress_line(event), fraction)}
    if event.preview:
        source = markup.jpeg_source(event.preview)
        updates[output.stage] = markup.picture(source, job.request.canvas, "The picture so far", finished=False)
    return updates


def waiting_line(engine: Engine, event: Queued) -> str:
    """What a job that has not begun waits for."""
    if event.detail:
        return event.detail
    status = engine.status()
    if status.loading:
        return f"Waiting while {status.loading.what} is loaded…"
    before = event.position - 1 + _is_behind_running_job(status, event)
    if before:
        soon = "" if event.seconds is None else f", about {event.seconds:.0f} s"
        return f"Waiting: {before} before this one{soon}"
    return starting_line(engine) or "Waiting for the worker…"


def _is_behind_running_job(status: EngineStatus, event: Queued) -> bool:
    """Whether the job that runs is another than the one of `event`: while this one waits, it is counted as waiting."""
    return status.state == "busy" and status.waiting >= event.position


def starting_line(engine: Engine) -> str:
    """What keeps the engine from beginning at once; empty if nothing does."""
    status = engine.status()
    if status.state == "starting":
        return status.detail or "Loading libraries…"
    if status.state == "restarting":
        return status.detail or "The worker is being restarted…"
    return ""


def stopped_line(engine: Engine) -> str:
    """Why nothing can be made any more, as HTML; empty while the engine runs."""
    status = engine.status()
    return markup.error(f"The engine is stopped: {status.detail}") if status.state == "stopped" else ""


def progress_line(event: Progress) -> str:
    """Such as "Picture 1 of 2 · step 7 of 20 · 1.2 s, about 2 s left"."""
    picture = f"Picture {event.picture} of {event.pictures} · " if event.pictures > 1 else ""
    left = f", about {event.remaining:.0f} s left" if event.remaining >= 0.5 else ""
    return f"{picture}step {event.step} of {event.steps} · {event.seconds:.1f} s{left}".capitalize()


def ending_line(job: Job, event: Finished | Stopped) -> str:
    made = len(job.saved)
    pictures = "1 picture" if made == 1 else f"{made} pictures"
    if isinstance(event, Stopped):
        return f"Cancelled. {pictures} kept." if made else "Cancelled."
    total = event.timings.get("total")
    return f"{pictures} in {total:.1f} s" if total else f"{pictures} made"


def notes_of(job: Job) -> list[str]:
    """What is told of the job's pictures, and what they carry as warnings, each once."""
    return list(dict.fromkeys(note for saved in job.saved for note in (*saved.notes, *saved.warnings)))


def watch_start(engine: Engine, page: gr.Blocks, place: gr.HTML) -> None:
    """Say in `place` what a freshly opened page waits for, until the engine is ready, or why it never will be."""

    async def watch() -> AsyncGenerator[str, None]:
        while line := starting_line(engine):
            yield markup.notice(f"{line} You can write your prompt meanwhile; Generate will run as soon as it is done.")
            await asyncio.sleep(STATUS_SECONDS)
        yield stopped_line(engine)

    page.load(watch, None, place, concurrency_limit=None, show_progress="hidden", api_visibility="private")
