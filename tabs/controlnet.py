"""The tab that draws what control pictures show."""

import gradio as gr

from pipelines.engine.jobs import Engine
from presets.requests import ControlNet
from tabs import control_units, drawing
from tabs.form import Form
from tabs.tab import Tab


def build(engine: Engine) -> Tab:
    form = Form(ControlNet, engine.inputs)
    return Tab(form, drawing.build(engine, form, given=control_units.build, settings=None, sizes=_sizes))


def _sizes(_engine: Engine, form: Form) -> None:
    with gr.Row():
        for side in ("width", "height"):
            form.widget(side, placeholder="as the control picture", min_width=100)
