"""The part of a form that chooses styles."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from pipelines.engine.jobs import Engine
from presets.checks import field_extra, field_schemas
from tabs.form import Form
from tabs.updates import update
from tabs.widgets import Group


def build(engine: Engine, form: Form) -> None:
    """Put the field `styles` here: a list of names, several of which can be chosen."""
    schema = field_schemas(form.kind)["styles"]
    box = gr.Dropdown(
        engine.styles.names(),
        value=[],
        multiselect=True,
        allow_custom_value=True,
        max_choices=schema["maxItems"],
        label=field_extra(form.kind, "styles")["label"],
        info=schema["description"],
        elem_id=form.element_id("styles"),
        interactive=True,
    )
    form.group("styles", Group((box,), read, lambda request: [list(request.styles)]))
    update(box.focus, lambda: gr.update(choices=engine.styles.names()), None, box)


def read(values: Sequence[Any]) -> list[str]:
    """The field's value, of the list's."""
    (names,) = values
    return list(names or ())
