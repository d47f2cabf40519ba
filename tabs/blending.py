"""The part of a form for pictures that are mixed into the one that is redrawn."""

import gradio as gr

from presets.blending import BLENDED, Blended
from tabs.form import Form
from tabs.part_forms import PartForm, together


def build(form: Form) -> None:
    """Put the field `blend` here."""
    with gr.Accordion("Blend", open=False, elem_id=form.element_id("blend")):
        parts = [_blended(form, number) for number in range(1, BLENDED + 1)]
    together(form, "blend", parts)


def _blended(form: Form, number: int) -> PartForm:
    part = PartForm(Blended, form, f"blend-{number}")
    title = f"Picture {number + 1}"
    with gr.Accordion(title, open=number == 1, elem_id=form.element_id(f"blend-{number}")):
        part.widget("picture")
        part.widget("share")
    return part
