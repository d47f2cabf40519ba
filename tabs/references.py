"""The part of a form for pictures in whose manner is drawn."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from pipelines.engine.jobs import ControlInfo, Engine
from presets.references import REFERENCES, StyleReference
from tabs.control_units import problem_lines
from tabs.form import Form
from tabs.part_forms import PartForm, together
from tabs.updates import update

NONE = (
    "<p>None is here: put an IP-Adapter with its image_encoder folder, as h94/IP-Adapter has them, into "
    "models/ip_adapters.</p>"
)


def build(engine: Engine, form: Form) -> None:
    """Put the field `references` here."""
    with gr.Accordion("Style references", open=False, elem_id=form.element_id("references")):
        note = gr.HTML(note_of(engine.ip_adapters()), elem_id=form.element_id("ip-adapters"), elem_classes="note")
        parts = [_reference(engine, form, number) for number in range(1, REFERENCES + 1)]
    boxes = [part.widgets["adapter"] for part in parts]
    for box in boxes:
        assert isinstance(box, gr.Dropdown)
        update(box.focus, lambda: look_again(engine), None, [*boxes, note])
    together(form, "references", parts)


def _reference(engine: Engine, form: Form, number: int) -> PartForm:
    part = PartForm(StyleReference, form, f"reference-{number}")
    title = f"Reference {number}"
    with gr.Accordion(title, open=number == 1, elem_id=form.element_id(f"reference-{number}")):
        part.widget("picture")
        part.widget("weight")
        part.widget("adapter", choices=choices_of(engine.ip_adapters()))
    return part


def look_again(engine: Engine) -> list[Any]:
    """The IP-Adapters there are now for each place, and what is to be said of them."""
    infos = engine.ip_adapters()
    return [*(gr.update(choices=choices_of(infos)) for _ in range(REFERENCES)), note_of(infos)]


def choices_of(infos: Sequence[ControlInfo]) -> list[str]:
    return ["", *(info.name for info in infos if info.kind.startswith("IP-Adapter") and not info.problem)]


def note_of(infos: Sequence[ControlInfo]) -> str:
    """That there is none, or why some cannot be used."""
    return problem_lines(infos) if infos else NONE
