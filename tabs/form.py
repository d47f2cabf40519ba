"""A form: the fields of a request as widgets where a tab puts them, and back."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal

import gradio as gr
from gradio.components import Component
from pydantic import TypeAdapter

from presets.checks import field_extra, parse
from presets.errors import InvalidField
from presets.images import ImageMissing, ImageRef
from presets.inputs import Inputs
from presets.request import Request, RequestType
from tabs.uploads import reference

Widget = gr.Textbox | gr.Dropdown | gr.Slider | gr.Number | gr.Image | gr.Checkbox

LABEL_MARK = "\u2002"
"""Ends the value in what is shown of a choice. No name of a file in the lists holds it: it is not printable."""

PICTURE_HEIGHT = 280
"""Pixels of the page."""
_SOURCES: list[Literal["upload", "webcam", "clipboard"]] = ["upload", "clipboard"]
_WHOLE = re.compile(r"[+-]?[0-9]{1,30}")


@dataclass(frozen=True, slots=True)
class Group:
    """Several components that are one field together: `read` makes the field's value of theirs, `show` their new
    values or updates of a request, in their order."""

    components: Sequence[Component]
    read: Callable[[Sequence[Any]], Any]
    show: Callable[[Any], Sequence[Any]]


class Form(Generic[RequestType]):
    """The widgets of one kind of request. What a widget is, its bounds, label, help and default come from the field."""

    def __init__(self, kind: type[RequestType], store: Inputs | None = None):
        """`store` keeps the pictures, where the kind takes any."""
        self.kind = kind
        self.store = store
        self.widgets: dict[str, Widget] = {}
        self.groups: dict[str, Group] = {}
        self._schemas: dict[str, dict[str, Any]] = kind.model_json_schema()["properties"]

    def widget(
        self,
        name: str,
        *,
        choices: Sequence[str | tuple[str, str]] | None = None,
        value: Any = None,
        placeholder: str | None = None,
        min_width: int = 160,
    ) -> Widget:
        """Put the widget of field `name` here.

        `choices` offers values for a text field, which takes others too; a pair is what is shown (the value, then
        `LABEL_MARK` and more) and the value. Of a field with fixed values they tell what is shown of each. `value`
        stands in for the default.
        """
        schema = self._schemas[name]
        extra = field_extra(self.kind, name)
        label = extra.get("label", name)
        common = {
            "label": f"{label} ({extra['unit']})" if "unit" in extra else label,
            "info": schema.get("description"),
            "value": schema.get("default") if value is None else value,
            "elem_id": self.element_id(name),
            "min_width": min_width,
            "interactive": True,
        }
        self.widgets[name] = _component(schema, common, choices, placeholder)
        return self.widgets[name]

    def group(self, name: str, group: Group) -> Group:
        """Let the components of `group`, which are put already, be field `name`."""
        self.groups[name] = group
        return group

    def element_id(self, name: str) -> str:
        """The DOM id of the widget of field `name`."""
        kind = self.kind.model_fields["kind"].default
        return f"{kind}-{name}".replace("_", "-")

    @property
    def inputs(self) -> list[Component]:
        """All widgets, then the components of all groups."""
        return [*self.widgets.values(), *(part for group in self.groups.values() for part in group.components)]

    def request(self, values: Iterable[Any]) -> RequestType:
        """The request that `values`, in the order of `inputs`, stand for. Raises `InvalidField`.

        An empty number means the field's default.
        """
        return parse(self.kind, {name: value for name, value in self.given(values).items() if value is not None})

    def given(self, values: Iterable[Any]) -> dict[str, Any]:
        """The fields that `values`, in the order of `inputs`, stand for, not checked; None for what is empty.

        Raises `InvalidField` for a picture that cannot be read.
        """
        rest = iter(values)
        given = {name: self._read(name, next(rest)) for name in self.widgets}
        return given | {name: group.read([next(rest) for _ in group.components]) for name, group in self.groups.items()}

    def _read(self, name: str, value: Any) -> Any:
        """`value` of the widget of field `name` as the request takes it; None is left out."""
        if isinstance(self.widgets[name], gr.Image) and value is not None and self.store is not None:
            return reference(self.store, value, name)
        if isinstance(value, str) and isinstance(self.widgets[name], gr.Dropdown):
            return value.partition(LABEL_MARK)[0]  # what is shown of a choice, changed by hand, comes back as a value
        if not isinstance(value, str) or not _number_schema(self._schemas[name]):
            return value
        text = value.strip()
        return int(text) if _WHOLE.fullmatch(text) else text or None

    def values(self, request: Request) -> list[Any]:
        """The request's values in the order of `inputs`."""
        shown = (group.show(request) for group in self.groups.values())
        own = (self._shown(getattr(request, name)) for name in self.widgets)
        return [*own, *(value for values in shown for value in values)]

    def _shown(self, value: Any) -> Any:
        """A field's value as its widget shows it; a picture that is kept no more is not shown."""
        if not isinstance(value, ImageRef) or self.store is None:
            return value
        try:
            return self.store.open(value)
        except ImageMissing:
            return None

    def merged(self, values: Mapping[str, Any]) -> list[Any]:
        """In the order of `inputs`, what shows those fields that `values` has, checked before, and no change for the
        others."""
        typed = {name: self._typed(name, value) for name, value in values.items() if name in self.kind.model_fields}
        changes: list[Any] = [self._shown(typed[name]) if name in typed else gr.skip() for name in self.widgets]
        request = self.kind.model_construct(**typed)
        for name, group in self.groups.items():
            changes += group.show(request) if name in typed else [gr.skip()] * len(group.components)
        return changes

    def _typed(self, name: str, value: Any) -> Any:
        annotation: Any = self.kind.model_fields[name].annotation
        return TypeAdapter(annotation).validate_python(value)

    def check(self, *values: Any) -> list[dict[str, Any]]:
        """A Gradio validator: one verdict per value, so that a complaint stands beside its field.

        `values` are those of `inputs`, then any others that the event takes.
        """
        problem = self._problem(values)
        verdicts = [gr.validate(True, "") for _ in values]
        if problem:
            firsts = [*self.widgets.values(), *(group.components[0] for group in self.groups.values())]
            place = dict(zip((*self.widgets, *self.groups), firsts, strict=True)).get(problem.field or "", firsts[0])
            verdicts[self.inputs.index(place)] = gr.validate(False, str(problem))
        return verdicts

    def _problem(self, values: Sequence[Any]) -> InvalidField | None:
        try:
            self.request(values)
        except InvalidField as problem:
            return problem
        return None


def run_buttons(form: Form, text: str = "Generate") -> tuple[gr.Button, gr.Button]:
    """Put here what runs the form's request, called `text`, and what cancels it."""
    with gr.Row(elem_classes="run-buttons"):
        run = gr.Button(text, variant="primary", elem_id=form.element_id("generate"), elem_classes="generate", scale=3)
        cancel = gr.Button("Cancel", interactive=False, elem_id=form.element_id("cancel"), scale=1, min_width=90)
    return run, cancel


def _component(
    schema: Mapping[str, Any],
    common: dict[str, Any],
    choices: Sequence[str | tuple[str, str]] | None,
    placeholder: str | None,
) -> Widget:
    if schema.get("picture"):
        return _picture(common)
    number = _number_schema(schema)
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


def _number_schema(schema: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The part of `schema` that describes a number, where the field takes one (or nothing)."""
    parts = (schema, *schema.get("anyOf", ()))
    return next((part for part in parts if part.get("type") in ("integer", "number")), None)


def _slider_fits(schema: Mapping[str, Any]) -> bool:
    """A slider is good for at most some hundred positions between two bounds."""
    if "minimum" not in schema or "maximum" not in schema:
        return False
    return (schema["maximum"] - schema["minimum"]) / schema.get("step", 1) <= 300
