"""The tab that redraws a picture."""

import gradio as gr

from pipelines.engine.jobs import Engine
from presets.requests import ImageToImage
from tabs import drawing
from tabs.form import Form


def build(engine: Engine) -> Form[ImageToImage]:
    form = Form(ImageToImage, engine.inputs)
    drawing.build(engine, form, given=_picture, settings=_strength, sizes=_sizes)
    return form


def _picture(_engine: Engine, form: Form) -> None:
    form.widget("image")


def _strength(_engine: Engine, form: Form) -> None:
    form.widget("strength")


def _sizes(_engine: Engine, form: Form) -> None:
    with gr.Row():
        for side in ("width", "height"):
            form.widget(side, placeholder="as the picture", min_width=100)
    form.widget("resize_mode")
