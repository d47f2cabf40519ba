"""A form: the fields of a request as widgets where a tab puts them, and back."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Generic

import gradio as gr
from gradio.components import Component
from pydantic import TypeAdapter

from presets.checks import field_extra, field_schemas, parse
from presets.errors import InvalidField
from presets.images import ImageMissing, ImageRef
from presets.inputs import Inputs
from presets.request import Request, RequestType
from tabs.uploads import reference
from tabs.widgets import LABEL_MARK, Group, Widget, component, number_schema

_WHOLE = re.compile(r"[+-]?[0-9]{1,30}")


class Form(Generic[RequestType]):
    """The widgets of one kind of request. What a widget is, its bounds, label, help and default come from the field."""

    def __init__(self, kind: type[RequestType], store: Inputs | None = None):
        """`store` keeps the pictures, where the kind takes any."""
        self.kind = kind
        self.store = store
        self.widgets: dict[str, Widget] = {}
        self.groups: dict[str, Group] = {}

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
        schema = field_schemas(self.kind)[name]
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
        self.widgets[name] = component(schema, common, choices, placeholder)
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
        """The fields that `values`, in the order of `inputs`, stand for, not checked; None for what is empty. Raises
        `InvalidField` for a picture that cannot be read."""
        rest = iter(values)
        given = {name: self._read(name, next(rest)) for name in self.widgets}
        return given | {name: group.read([next(rest) for _ in group.components]) for name, group in self.groups.items()}

    def _read(self, name: str, value: Any) -> Any:
        """`value` of the widget of field `name` as the request takes it; None is left out."""
        if isinstance(self.widgets[name], gr.Image) and value is not None and self.store is not None:
            return reference(self.store, value, name)
        if isinstance(value, str) and isinstance(self.widgets[name], gr.Dropdown):
            return value.partition(LABEL_MARK)[0]  # what is shown of a choice, changed by hand, comes back as a value
        if not isinstance(value, str) or not number_schema(field_schemas(self.kind)[name]):
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
