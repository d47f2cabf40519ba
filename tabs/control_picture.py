"""The tab that makes control pictures."""

import gradio as gr

from pipelines.engine.jobs import Engine
from presets.control_picture import ControlPicture
from presets.preprocessors import PARAMETERS
from tabs import preprocessing
from tabs.form import Form
from tabs.output import Output
from tabs.run import connect, run_buttons
from tabs.tab import Tab
from tabs.updates import on_page_load, update


def build(engine: Engine) -> Tab:
    form = Form(ControlPicture, engine.inputs)
    with gr.Row(elem_classes="workspace"):
        with gr.Column(elem_classes="words"):
            form.widget("image")
            make, cancel = run_buttons(form)
        with gr.Column(elem_classes="settings"):
            _settings(engine, form)
        with gr.Column(elem_classes="result"):
            output = Output(form)
    connect(engine, form, output, make, cancel)
    output.connect(form)
    return Tab(form, output)


def _settings(engine: Engine, form: Form[ControlPicture]) -> None:
    preprocessor = form.widget("preprocessor", choices=preprocessing.choices())
    assert isinstance(preprocessor, gr.Dropdown)
    note = gr.HTML(elem_id=form.element_id("preprocessor") + "-note", elem_classes="note")
    parameters = {name: form.widget(name) for name in PARAMETERS}
    preprocessing.follow(engine, preprocessor, parameters, note)
    form.widget("resolution", placeholder="as the picture")
    with gr.Accordion("All preprocessors", open=False, elem_id=form.element_id("list")):
        every = gr.HTML()
    update(on_page_load, lambda: preprocessing.table(engine), None, every)
