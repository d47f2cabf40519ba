"""The widget that fits a field: what it is, its bounds and its help come from the field's schema."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import gradio as gr
from gradio.components import Component

Widget = gr.Textbox | gr.Dropdown | gr.Slider | gr.Number | gr.Image | gr.Checkbox

LABEL_MARK = "\u2002"
"""Ends the value in what is shown of a choice. No name of a file in the lists holds it: it is not printable."""

PICTURE_HEIGHT = 280
"""Pixels of the page."""

_SOURCES: list[Literal["upload", "webcam", "clipboard"]] = ["upload", "clipboard"]


@dataclass(frozen=True, slots=True)
class Group:
    """Several components that are one field together: `read` makes the field's value of theirs, `show` their new
    values or updates of a request, in their order."""

    components: Sequence[Component]
    read: Callable[[Sequence[Any]], Any]
    show: Callable[[Any], Sequence[Any]]


def component(
    schema: Mapping[str, Any],
    common: dict[str, Any],
    choices: Sequence[str | tuple[str, str]] | None,
    placeholder: str | None,
) -> Widget:
    if schema.get("picture"):
        return _picture(common)
    number = number_schema(schema)
    if schema.get("type") == "boolean":
        return gr.Checkbox(**common)
    if "enum" in schema:
        return gr.Dropdown(list(choices or schema["enum"]), **common)
    if choices is not None:
        return gr.Dropdown(list(choices), allow_custom_value=True, **common)
    if schema.get("type") == "string":
        return gr.Textbox(lines=schema.get("lines", 1), max_lines=12, placeholder=placeholder, **common)
    if number is schema and _slider_fits(schema):
        return gr.Slider(schema["minimum"], schema["maximum"], step=schema.get("step", 1), **common)
    if number is schema:
        return gr.Number(step=schema.get("step", 1), **common)
    if number:
        return gr.Textbox(placeholder=placeholder, **common)  # a Number cannot be empty: the page shows it as 0
    raise TypeError(f"No widget is known for {schema}")


def _picture(common: Mapping[str, Any]) -> gr.Image:
    """A picture has no room for an explanation, and nothing to begin with."""
    options = {name: option for name, option in common.items() if name not in ("info", "value")}
    return gr.Image(
        type="filepath", format="png", image_mode=None, sources=_SOURCES, height=PICTURE_HEIGHT, buttons=[], **options
    )


def number_schema(schema: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The part of `schema` that describes a number, where the field takes one (or nothing)."""
    parts = (schema, *schema.get("anyOf", ()))
    return next((part for part in parts if part.get("type") in ("integer", "number")), None)


def _slider_fits(schema: Mapping[str, Any]) -> bool:
    """A slider is good for at most some hundred positions between two bounds."""
    if "minimum" not in schema or "maximum" not in schema:
        return False
    return (schema["maximum"] - schema["minimum"]) / schema.get("step", 1) <= 300
