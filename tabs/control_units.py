"""The part of a form that chooses what is followed: units, each with its picture, preprocessor and control model."""

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr
from gradio.components import Component

from pipelines.engine.jobs import ControlInfo, Engine
from presets.checks import field_extra
from presets.control_fields import UNITS
from presets.preprocessors import PARAMETERS
from tabs import control_preview, markup, preprocessing
from tabs.form import Form
from tabs.part_forms import put_others, together
from tabs.unit_form import UnitForm
from tabs.updates import update
from tabs.widgets import PICTURE_HEIGHT

PROBLEMS_SHOWN = 3


def build(engine: Engine, form: Form, places: int = UNITS) -> None:
    """Put the field `units` here, with places for so many; what a request has more of is kept."""
    with gr.Column(elem_id=form.element_id("units")):
        units = [_unit(engine, form, number) for number in range(1, places + 1)]
        others = put_others(form, "units") if places < UNITS else ()
    problems = gr.HTML(
        problem_lines(engine.controls()), elem_id=form.element_id("control-problems"), elem_classes="note"
    )
    boxes = [unit.widgets["control"] for unit in units]
    for box in boxes:
        assert isinstance(box, gr.Dropdown)
        update(box.focus, lambda: look_again(engine, places), None, [*boxes, problems])
    together(form, "units", units, others)


def build_beside(engine: Engine, form: Form) -> None:
    """Put the field `units` of a form that is given a picture here, closed. One place: each makes the page heavier."""
    with gr.Accordion("ControlNet", open=False, elem_id=form.element_id("controlnet")):
        build(engine, form, places=1)


def _unit(engine: Engine, form: Form, number: int) -> UnitForm:
    unit = UnitForm(form, number)
    with gr.Accordion(f"Unit {number}", open=number == 1, elem_id=form.element_id(f"unit-{number}")):
        picture = unit.widget("picture")
        beside = {"given": form.widgets["image"]} if "image" in form.widgets else {}
        if beside:
            unit.follow_given(field_extra(form.kind, "image")["label"])
        preprocessor = unit.widget("preprocessor", choices=preprocessing.choices())
        assert isinstance(preprocessor, gr.Dropdown)
        note = gr.HTML(elem_id=unit.element_id("preprocessor") + "-note", elem_classes="note")
        parameters = {name: unit.widget(name) for name in PARAMETERS}
        preprocessing.follow(engine, preprocessor, parameters, note)
        _preview(engine, unit, {"image": picture, "preprocessor": preprocessor, **parameters, **beside})
        unit.widget("control", choices=["", *names_of(engine.controls())])
        unit.widget("weight")
        with gr.Row():
            unit.widget("start", min_width=120)
            unit.widget("end", min_width=120)
        unit.widget("mode")
        with gr.Accordion("More", open=False, elem_id=unit.element_id("more")):
            unit.widget("resize_mode")
            unit.widget("pixel_perfect")
            unit.widget("resolution", placeholder="as the picture")
            unit.widget("union_type")
    return unit


def _preview(engine: Engine, unit: UnitForm, settings: Mapping[str, Component]) -> None:
    """A button that shows the control picture, and the place for it."""
    button = gr.Button("Preview the control picture", size="sm", elem_id=unit.element_id("preview"))
    status = gr.HTML(elem_id=unit.element_id("preview-status"), elem_classes="job-status")
    made = gr.Image(
        label="Control picture",
        visible=False,
        interactive=False,
        format="png",
        height=PICTURE_HEIGHT,
        buttons=["fullscreen"],
        elem_id=unit.element_id("preview-picture"),
    )
    control_preview.preview(engine, settings, button, made, status)


def look_again(engine: Engine, places: int = UNITS) -> list[Any]:
    """The control models there are now for the lists of so many units, and what is to be said of those that cannot be
    used."""
    controls = engine.controls()
    choices = ["", *names_of(controls)]
    return [*(gr.update(choices=choices) for _ in range(places)), problem_lines(controls)]


def names_of(controls: Sequence[ControlInfo]) -> list[str]:
    return [control.name for control in controls if not control.problem]


def problem_lines(controls: Sequence[ControlInfo]) -> str:
    """Why files among the control models are not offered, the first few of them."""
    lines = [control.problem for control in controls if control.problem]
    more = [f"… and {len(lines) - PROBLEMS_SHOWN} more"] if len(lines) > PROBLEMS_SHOWN else []
    return "".join(f"<p>{markup.escaped(line)}</p>" for line in [*lines[:PROBLEMS_SHOWN], *more])
