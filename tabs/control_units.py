"""The part of a form that chooses what is followed: units, each with its picture, preprocessor and control model."""

from collections.abc import Mapping, Sequence
from itertools import islice, zip_longest
from typing import Any, cast

import gradio as gr
from gradio.components import Component

from pipelines.engine.jobs import ControlInfo, Engine
from presets.control_fields import UNITS
from presets.controlnet import ControlUnit
from presets.preprocessors import PARAMETERS
from tabs import control_preview, markup, preprocessing
from tabs.form import Form
from tabs.updates import update
from tabs.widgets import PICTURE_HEIGHT, Group

PROBLEMS_SHOWN = 3


class UnitForm(Form[Any]):
    """The widgets of one unit of the form `owner`."""

    def __init__(self, owner: Form, number: int):
        super().__init__(cast("Any", ControlUnit), owner.store)
        self._prefix = owner.element_id(f"unit-{number}")

    def element_id(self, name: str) -> str:
        return f"{self._prefix}-{name}".replace("_", "-")

    def unit(self, values: Sequence[Any]) -> dict[str, Any] | None:
        """The unit's fields; None where it has no picture and thus follows nothing."""
        given = {name: value for name, value in self.given(values).items() if value is not None}
        return given if "picture" in given else None

    def shown(self, unit: ControlUnit | None) -> list[Any]:
        """The inputs' new values for those of `unit`. One without a picture leaves the one that is there; no unit
        takes it away."""
        if unit is None:
            return [None if name == "picture" else gr.skip() for name in self.widgets]
        given = {name: getattr(unit, name) for name in type(unit).model_fields}
        return self.merged({name: value for name, value in given.items() if name != "picture" or value is not None})


def build(engine: Engine, form: Form) -> None:
    """Put the field `units` here."""
    with gr.Column(elem_id=form.element_id("units")):
        units = [_unit(engine, form, number) for number in range(1, UNITS + 1)]
    problems = gr.HTML(
        problem_lines(engine.controls()), elem_id=form.element_id("control-problems"), elem_classes="note"
    )
    boxes = [unit.widgets["control"] for unit in units]
    for box in boxes:
        assert isinstance(box, gr.Dropdown)
        update(box.focus, lambda: look_again(engine), None, [*boxes, problems])
    form.group("units", Group([part for unit in units for part in unit.inputs], _reader(units), _shower(units)))


def _unit(engine: Engine, form: Form, number: int) -> UnitForm:
    unit = UnitForm(form, number)
    with gr.Accordion(f"Unit {number}", open=number == 1, elem_id=form.element_id(f"unit-{number}")):
        picture = unit.widget("picture")
        preprocessor = unit.widget("preprocessor", choices=preprocessing.choices())
        assert isinstance(preprocessor, gr.Dropdown)
        note = gr.HTML(elem_id=unit.element_id("preprocessor") + "-note", elem_classes="note")
        parameters = {name: unit.widget(name) for name in PARAMETERS}
        preprocessing.follow(engine, preprocessor, parameters, note)
        _preview(engine, unit, {"image": picture, "preprocessor": preprocessor, **parameters})
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


def _reader(units: Sequence[UnitForm]) -> Any:
    def read(values: Sequence[Any]) -> list[dict[str, Any]]:
        rest = iter(values)
        found = [unit.unit(list(islice(rest, len(unit.inputs)))) for unit in units]
        return [unit for unit in found if unit is not None]

    return read


def _shower(units: Sequence[UnitForm]) -> Any:
    def show(request: Any) -> list[Any]:
        pairs = zip_longest(units, request.units[: len(units)])
        return [change for form, unit in pairs for change in form.shown(unit)]

    return show


def look_again(engine: Engine) -> list[Any]:
    """The control models there are now for each unit's list, and what is to be said of those that cannot be used."""
    controls = engine.controls()
    choices = ["", *names_of(controls)]
    return [*(gr.update(choices=choices) for _ in range(UNITS)), problem_lines(controls)]


def names_of(controls: Sequence[ControlInfo]) -> list[str]:
    return [control.name for control in controls if not control.problem]


def problem_lines(controls: Sequence[ControlInfo]) -> str:
    """Why files among the control models are not offered, the first few of them."""
    lines = [control.problem for control in controls if control.problem]
    more = [f"… and {len(lines) - PROBLEMS_SHOWN} more"] if len(lines) > PROBLEMS_SHOWN else []
    return "".join(f"<p>{markup.escaped(line)}</p>" for line in [*lines[:PROBLEMS_SHOWN], *more])
