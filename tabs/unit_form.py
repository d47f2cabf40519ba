"""One control unit in a form: what its widgets stand for."""

from collections.abc import Sequence
from typing import Any

import gradio as gr
from gradio.components import Component
from pydantic import BaseModel

from presets.controlnet import ControlUnit
from tabs.form import Form
from tabs.part_forms import PartForm


class UnitForm(PartForm):
    """The widgets of one unit of the form `owner`."""

    def __init__(self, owner: Form, number: int):
        super().__init__(ControlUnit, owner, f"unit-{number}")
        self._follows_given: gr.Checkbox | None = None

    def follow_given(self, picture: str) -> None:
        """Put here what has the unit follow the picture that the form is given, called `picture`."""
        self._follows_given = gr.Checkbox(
            label=f"Follow the {picture.lower()} above",
            info="Where the unit has no picture of its own.",
            elem_id=self.element_id("given"),
        )

    @property
    def parts(self) -> list[Component]:
        return [*self.inputs, *([self._follows_given] if self._follows_given else [])]

    def part(self, values: Sequence[Any]) -> dict[str, Any] | None:
        """The unit's fields, of the values of its `parts`; None where it follows nothing."""
        if not (self._follows_given and values[-1]):
            return super().part(values)
        return {name: value for name, value in self.given(values).items() if value is not None}

    def shown(self, part: BaseModel | None) -> list[Any]:
        """One without a picture leaves the one that is there, if it can follow no other; no unit takes it away."""
        if not self._follows_given:
            return super().shown(part)
        if not isinstance(part, ControlUnit) or part.picture is not None:
            return [*super().shown(part), False]
        return [*self.merged({name: getattr(part, name) for name in type(part).model_fields}), True]
