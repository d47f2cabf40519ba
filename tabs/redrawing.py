"""The part of a form that has a larger picture drawn anew, tile by tile."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from pipelines.engine.jobs import Engine
from tabs import checkpoint, drawing
from tabs.control_units import names_of
from tabs.form import Form
from tabs.output import Output
from tabs.updates import update

HINTS = {"prompt": "what every tile shows; empty for detail alone", "negative_prompt": "what to leave out"}


def build(engine: Engine, form: Form) -> Callable[[Output, Any], None]:
    """Put strength, words, checkpoint and settings here; what connects them to the output and the end of a job."""
    form.widget("redraw_strength")
    with gr.Accordion("How it is redrawn", open=False, elem_id=form.element_id("redrawing")):
        counters = {name: drawing.prompt_box(form, name, hint) for name, hint in HINTS.items()}
        chosen = checkpoint.build(engine, form)
        form.widget("steps")
        connect_seed = drawing.seed_row(form)
        form.widget("guidance_scale")
        drawing.sampling(form)
        with gr.Row():
            form.widget("redraw_tile", placeholder="native", min_width=120)
            form.widget("redraw_overlap", min_width=160)
        form.widget("keep_colours")
        _control(engine, form)
        form.widget("clip_skip")
        drawing.vae_box(engine, form)
    drawing.count_tokens(engine, form, counters)

    def connect(output: Output, ended: Any) -> None:
        connect_seed(output)
        checkpoint.keep_fresh(engine, chosen, ended)

    return connect


def _control(engine: Engine, form: Form) -> None:
    def choices() -> list[str]:
        return ["", *names_of(engine.controls())]

    with gr.Row():
        box = form.widget("tile_control", choices=choices())
        form.widget("tile_control_weight")
    assert isinstance(box, gr.Dropdown)
    update(box.focus, lambda: gr.update(choices=choices()), None, box)
