"""Generate and Cancel: a job's events become updates of the page, and its failures sentences, in this one place."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import gradio as gr
from gradio.events import Dependency

from pipelines.engine.jobs import Engine, Job, Queued, Saved
from presets.errors import UserError
from tabs import markup
from tabs.batch import Batch
from tabs.batch_form import BatchForm
from tabs.form import Form
from tabs.job_lines import waiting_line
from tabs.job_links import linked
from tabs.job_updates import paced, updates_of
from tabs.output import Output, Pictures, Updates
from tabs.owners import owner_of_page
from tabs.submitting import submit, unseen
from tabs.updates import on_page_load


def run_buttons(form: Form, text: str = "Generate") -> tuple[gr.Button, gr.Button]:
    """Put here what runs the form's request, called `text`, and what cancels it."""
    with gr.Row(elem_classes="run-buttons"):
        run = gr.Button(text, variant="primary", elem_id=form.element_id("generate"), elem_classes="generate", scale=3)
        cancel = gr.Button("Cancel", interactive=False, elem_id=form.element_id("cancel"), scale=1, min_width=90)
    return run, cancel


def connect(engine: Engine, form: Form, output: Output, generate: gr.Button, cancel: gr.Button) -> Dependency:
    """Let `generate` run the form's request and `cancel` stop this page's job. What is returned tells when one ended.

    A waiting page holds no thread. The job of a page that is closed goes on, and the browser's next page shows it.
    """
    runs = _Runs(engine, form, output, generate, cancel)
    at_once: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    long: dict[str, Any] = {"concurrency_limit": None, "show_progress": "hidden", "api_visibility": "private"}
    shown = [*output.components, generate, cancel]
    generate.click(runs.complaint, form.inputs, output.status, preprocess=False, **at_once)
    running = generate.click(
        runs.run, [*form.inputs, output.pictures], shown, validator=form.check, preprocess=False, **long
    )
    for ended in (running, on_page_load(runs.resume, None, shown, **long)):
        ended.then(runs.settle, [output.pictures, output.selected], [generate, cancel, *output.settled], **at_once)
    cancel.click(runs.stop, output.job, None, **at_once)
    return running


class _Runs:
    """What the buttons of one tab do."""

    def __init__(self, engine: Engine, form: Form, output: Output, generate: gr.Button, cancel: gr.Button):
        self._engine = engine
        self._form = form
        self._output = output
        self._generate = generate
        self._cancel = cancel

    def complaint(self, *values: Any) -> Any:
        """What the validator says beside a field, as the status too: the field may lie in a closed part of the form.

        Connected before `run`: Gradio drops the listeners after one whose validator complains.
        """
        try:
            self._form.request(values)
        except UserError as problem:
            return markup.error(str(problem))
        return gr.skip()

    async def run(self, request: gr.Request, *values: Any) -> AsyncGenerator[Updates, None]:
        """The form's values, then the session's pictures."""
        *fields, pictures = values
        if isinstance(self._form, BatchForm) and self._form.files_in(fields):
            batch = Batch(self._engine, self._form, fields, owner_of_page(request))
            async with aclosing(self._shown_together(batch, pictures)) as updates:
                async for update in updates:
                    yield update
            return
        try:
            job = await submit(self._engine, self._form.request(fields), owner=owner_of_page(request), kept=False)
        except UserError as problem:
            yield {self._output.status: markup.error(str(problem))}
            return
        async with aclosing(self._shown(job, pictures)) as updates:
            async for update in updates:
                yield update

    async def _shown_together(self, batch: Batch, pictures: Pictures) -> AsyncGenerator[Updates, None]:
        async with aclosing(batch.steps()) as steps:
            async for step in steps:
                if step.job is None:
                    yield {self._output.status: markup.progress(step.line, step.share)}
                    continue
                async with aclosing(self._shown(step.job, pictures, step.line)) as updates:
                    async for update in updates:
                        pictures = update.get(self._output.pictures, pictures)
                        yield {**update, self._output.job: " ".join(job.id for job in batch.jobs)}
        yield {self._output.status: batch.ending}

    async def resume(self, request: gr.Request) -> AsyncGenerator[Updates, None]:
        """Show a fresh page what its browser's jobs of this kind do, the pictures that nobody has seen, and the job of
        a link."""
        pictures: Pictures = ()
        owner = owner_of_page(request)
        jobs = await asyncio.to_thread(unseen, self._engine, owner, self._form.kind)
        others = await asyncio.to_thread(linked, self._engine, request, self._form.kind)
        for job in [*jobs, *(job for job in others if job not in jobs)]:
            async with aclosing(self._shown(job, pictures, is_own=job.owner == owner)) as updates:
                async for update in updates:
                    pictures = update.get(self._output.pictures, pictures)
                    yield update
        yield {self._output.job: gr.skip()}  # Gradio wants something of every generator

    async def _shown(
        self, job: Job, pictures: Pictures, place: str = "", *, is_own: bool = True
    ) -> AsyncGenerator[Updates, None]:
        yield {
            self._output.job: job.id if is_own else "",
            self._output.status: markup.progress(place + waiting_line(self._engine, Queued(position=1)), None),
            self._generate: gr.update(interactive=False),
            self._cancel: gr.update(interactive=is_own),
        }
        async with aclosing(paced(job)) as events:
            async for event in events:
                if isinstance(event, Saved):
                    pictures = (event, *pictures)
                    yield self._output.added(pictures)
                else:
                    yield updates_of(self._engine, self._output, job, event, place)

    def stop(self, identifiers: str) -> None:
        for job in map(self._engine.job, identifiers.split()):
            if job:
                job.cancel()

    def settle(self, pictures: Pictures, selected: int) -> Updates:
        """However the job ended: the buttons as before it, and what stays of its pictures."""
        return {
            self._generate: gr.update(interactive=True),
            self._cancel: gr.update(interactive=False),
            **self._output.settle(pictures, selected),
        }
