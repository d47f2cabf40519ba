"""A button that shows what a preprocessor makes of a picture, before anything is drawn with it."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

import gradio as gr
from gradio.components import Component

from pipelines.engine.jobs import Engine, Failed, Loading, Queued, Saved, Stopped
from presets.checks import parse
from presets.control_picture import ControlPicture
from presets.errors import InvalidField, UserError
from tabs import markup
from tabs.job_lines import ending_line, waiting_line
from tabs.output import Updates
from tabs.owners import owner_of_page
from tabs.submitting import submit
from tabs.uploads import reference

RESOLUTION = 512
"""Of a preview for which none is chosen, where the picture is larger."""


def preview(
    engine: Engine,
    settings: Mapping[str, Component],
    button: gr.Button,
    output: gr.Image,
    status: gr.HTML,
) -> None:
    """Let `button` make a control picture and show it in `output`; what it waits for, and what is wrong, in `status`.

    `settings` are the widgets by the names of `ControlPicture`'s fields: "image" (a `gr.Image` of file paths),
    "preprocessor", and those of the parameters that there are; a field without a widget keeps its default. Without an
    image it is made of "given", if there is such a widget. It is a job like any other: it waits its turn, lies in the
    gallery, and is cancelled when the page is closed.
    """

    async def run(page: gr.Request, *values: Any) -> AsyncGenerator[Updates, None]:
        try:
            asked = asked_for(engine, dict(zip(settings, values, strict=True)))
            job = await submit(engine, asked, owner=owner_of_page(page), kept=False)
        except UserError as problem:
            yield {status: markup.error(str(problem))}
            return
        try:
            async with aclosing(job.stream()) as events:
                async for event in events:
                    if isinstance(event, Queued):
                        yield {status: markup.progress(waiting_line(engine, event), None)}
                    elif isinstance(event, Loading):
                        yield {status: markup.progress(event.line, event.fraction)}
                    elif isinstance(event, Saved):
                        yield {output: gr.update(value=str(event.path), visible=True), status: ""}
                    elif isinstance(event, Failed):
                        yield {status: markup.error(f"{event.message} [{event.code}]")}
                    elif isinstance(event, Stopped):
                        yield {status: markup.notice(ending_line(job, event))}
        finally:
            job.cancel()

    button.click(
        run,
        list(settings.values()),
        [output, status],
        preprocess=False,
        concurrency_limit=None,
        show_progress="hidden",
        api_visibility="private",
    )


def asked_for(engine: Engine, values: Mapping[str, Any]) -> ControlPicture:
    """The request for the values of the widgets. Raises `InvalidField`."""
    file = values.get("image") or values.get("given")
    if not file:
        raise InvalidField("image", "Picture is missing: choose one first.", code="E-IMAGE")
    image = reference(engine.inputs, file, "image")
    given = {name: value for name, value in values.items() if value not in (None, "") and name != "given"}
    typed = given.get("resolution")
    if isinstance(typed, str) and typed.strip().isdecimal():  # of a box that can be left empty
        given["resolution"] = int(typed)
    own = {} if "resolution" in given or min(image.size) <= RESOLUTION else {"resolution": RESOLUTION}
    return parse(ControlPicture, {**given, **own, "image": image})
