"""The tab that makes a picture larger."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from pipelines.engine.jobs import Engine
from presets.errors import UserError
from presets.upscale import Upscale
from tabs import markup, redrawing
from tabs.batch_form import BatchForm
from tabs.comparison import Comparison
from tabs.run import connect, run_buttons
from tabs.tab import Tab
from tabs.updates import on_page_load, update


def build(engine: Engine) -> Tab:
    form = BatchForm(Upscale, engine.inputs)
    with gr.Row(elem_classes="workspace"):
        with gr.Column(elem_classes="words"):
            form.widget("image")
            files = form.put_files()
            upscale, cancel = run_buttons(form, "Upscale")
        with gr.Column(elem_classes="settings"):
            note = _settings(engine, form)
            connect_redrawing = redrawing.build(engine, form)
            _faces(engine, form)
        with gr.Column(elem_classes="result"):
            output = Comparison(form, engine.inputs)
    connect_redrawing(output, connect(engine, form, output, upscale, cancel))
    output.connect(form)

    def sizes(*values: Any) -> str:
        return size_line(form, values)

    for widget in (form.widgets["image"], form.widgets["factor"], files):
        update(widget.change, sizes, form.inputs, note)
    return Tab(form, output)


def _settings(engine: Engine, form: BatchForm[Upscale]) -> gr.HTML:
    """Put what makes the picture larger here; the place for what size comes of it."""
    names = engine.upscalers()
    upscaler = form.widget("upscaler", choices=list(names), value=next(iter(names), None))
    assert isinstance(upscaler, gr.Dropdown)
    for event in (on_page_load, upscaler.focus):
        update(event, lambda: gr.update(choices=list(engine.upscalers())), None, upscaler)
    form.widget("factor")
    note = gr.HTML(elem_id=form.element_id("size"), elem_classes="note")
    with gr.Accordion("Advanced", open=False, elem_id=form.element_id("advanced"), elem_classes="advanced"), gr.Row():
        form.widget("tile", min_width=100)
        form.widget("overlap", min_width=100)
    return note


def _faces(engine: Engine, form: BatchForm[Upscale]) -> None:
    def choices() -> list[str]:
        return ["", *engine.face_restorers()]

    box = form.widget("face_restorer", choices=choices())
    form.widget("face_strength")
    assert isinstance(box, gr.Dropdown)
    for event in (on_page_load, box.focus):
        update(event, lambda: gr.update(choices=choices()), None, box)


def size_line(form: BatchForm[Upscale], values: Sequence[Any]) -> str:
    """From which size to which; what is wrong with it, where it is too large; empty without a picture."""
    try:
        given = form.given(values)
        if given.get("image") is None:
            return ""
        request = form.request(values)
        if files := form.files_in(values):
            return f"<p>{len(files)} pictures, each {request.factor:g} times as large.</p>"
    except UserError as problem:
        return markup.error(str(problem))
    (width, height), (wide, high) = request.image.size, request.picture_size
    return f"<p>{width} × {height} becomes {wide} × {high} pixels.</p>"
