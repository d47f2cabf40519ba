"""The tab that redraws a part of a picture, and draws on beyond its sides."""

import gradio as gr

from pipelines.engine.jobs import Engine
from presets.requests import Inpaint
from tabs import control_units, drawing, frame, masking
from tabs.form import Form
from tabs.tab import Tab


def build(engine: Engine) -> Tab:
    form = Form(Inpaint, engine.inputs)
    return Tab(form, drawing.build(engine, form, given=_picture, settings=_settings, sizes=_sizes))


def _picture(engine: Engine, form: Form) -> None:
    form.widget("image")
    masking.build(engine, form)
    with gr.Row():
        form.widget("invert_mask")
        form.widget("soft_mask", min_width=200)


def _settings(engine: Engine, form: Form) -> None:
    form.widget("strength")
    form.widget("area")
    with gr.Accordion("Extend the picture", open=False, elem_id=form.element_id("extend")):
        with gr.Row():
            for side in ("left", "right", "top", "bottom"):
                form.widget(f"extend_{side}", min_width=100)
        frame.build(engine, form)
    control_units.build_beside(engine, form)


def _sizes(_engine: Engine, form: Form) -> None:
    with gr.Row():
        form.widget("grow_mask", min_width=160)
        form.widget("feather_mask", min_width=160)
    with gr.Row():
        form.widget("content", min_width=160)
        form.widget("padding", min_width=160)
    with gr.Row():
        for side in ("width", "height"):
            form.widget(side, placeholder="as the picture", min_width=100)
