"""The part of a form for pictures that move."""

from collections.abc import Sequence

import gradio as gr

from pipelines.engine.jobs import ControlInfo, Engine
from tabs.control_units import problem_lines
from tabs.form import Form
from tabs.updates import update

NONE = "<p>None is here: put an AnimateDiff motion module into models/motion_modules.</p>"


def build(engine: Engine, form: Form) -> None:
    """Put the fields of animations here."""
    with gr.Accordion("Animation", open=False, elem_id=form.element_id("animation")):
        infos = engine.motion_modules()
        note = gr.HTML(note_of(infos), elem_id=form.element_id("motion-modules"), elem_classes="note")
        box = form.widget("motion_module", choices=choices_of(infos))
        with gr.Row():
            form.widget("frames", min_width=150)
            form.widget("fps", min_width=150)

    def look_again() -> tuple[object, str]:
        infos = engine.motion_modules()
        return gr.update(choices=choices_of(infos)), note_of(infos)

    assert isinstance(box, gr.Dropdown)
    update(box.focus, look_again, None, [box, note])


def choices_of(infos: Sequence[ControlInfo]) -> list[str]:
    return ["", *(info.name for info in infos if not info.problem)]


def note_of(infos: Sequence[ControlInfo]) -> str:
    """That there is none, or why some cannot be used."""
    return problem_lines(infos) if infos else NONE
