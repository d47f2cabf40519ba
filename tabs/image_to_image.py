"""The tab that redraws a picture."""

import gradio as gr

from pipelines.engine.jobs import Engine
from presets.requests import ImageToImage
from tabs import blending, control_units, drawing
from tabs.form import Form
from tabs.sketching import SketchForm
from tabs.tab import Tab


def build(engine: Engine) -> Tab:
    form = SketchForm(ImageToImage, engine.inputs)
    return Tab(form, drawing.build(engine, form, given=_picture, settings=_strength, sizes=_sizes))


def _picture(_engine: Engine, form: Form) -> None:
    form.widget("image")
    assert isinstance(form, SketchForm)
    form.put_editor()
    form.put_files()


def _strength(engine: Engine, form: Form) -> None:
    form.widget("strength")
    control_units.build_beside(engine, form)


def _sizes(_engine: Engine, form: Form) -> None:
    with gr.Row():
        for side in ("width", "height"):
            form.widget(side, placeholder="as the picture", min_width=100)
    form.widget("resize_mode")
    with gr.Accordion("Loopback", open=False, elem_id=form.element_id("loopback")):
        form.widget("rounds")
        form.widget("final_strength")
        form.widget("strength_curve")
    blending.build(form)
