"""One control unit in a form: what its widgets stand for."""

from collections.abc import Sequence
from typing import Any, cast

import gradio as gr
from gradio.components import Component

from presets.controlnet import ControlUnit
from tabs.form import Form


class UnitForm(Form[Any]):
    """The widgets of one unit of the form `owner`."""

    def __init__(self, owner: Form, number: int):
        super().__init__(cast("Any", ControlUnit), owner.store)
        self._prefix = owner.element_id(f"unit-{number}")
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
        """All that stands for the unit."""
        return [*self.inputs, *([self._follows_given] if self._follows_given else [])]

    def element_id(self, name: str) -> str:
        return f"{self._prefix}-{name}".replace("_", "-")

    def unit(self, values: Sequence[Any]) -> dict[str, Any] | None:
        """The unit's fields, of the values of its `parts`; None where it follows nothing."""
        follows_given = bool(self._follows_given and values[-1])
        given = {name: value for name, value in self.given(values).items() if value is not None}
        return given if follows_given or "picture" in given else None

    def shown(self, unit: ControlUnit | None) -> list[Any]:
        """The new values of the unit's `parts` for those of `unit`. One without a picture leaves the one that is there,
        if it can follow no other; no unit takes it away."""
        own: list[Any] = [unit is not None and unit.picture is None] if self._follows_given else []
        if unit is None:
            return [*(None if name == "picture" else gr.skip() for name in self.widgets), *own]
        given = {name: getattr(unit, name) for name in type(unit).model_fields}
        if unit.picture is None and not self._follows_given:
            del given["picture"]
        return [*self.merged(given), *own]
