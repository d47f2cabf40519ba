"""The widgets of a request's parts, such as control units: a fixed number of places, each of which may be empty."""

from collections.abc import Sequence
from itertools import islice, zip_longest
from typing import Any, cast

import gradio as gr
from gradio.components import Component
from pydantic import BaseModel

from tabs import markup
from tabs.form import Form
from tabs.updates import update
from tabs.widgets import Group


class PartForm(Form[Any]):
    """The widgets of one part, of `kind`, of the form `owner`; `name` begins their identifiers."""

    def __init__(self, kind: type[BaseModel], owner: Form, name: str):
        super().__init__(cast("Any", kind), owner.store)
        self._prefix = owner.element_id(name)

    @property
    def parts(self) -> list[Component]:
        """All that stands for the part."""
        return self.inputs

    def element_id(self, name: str) -> str:
        return f"{self._prefix}-{name}".replace("_", "-")

    def part(self, values: Sequence[Any]) -> dict[str, Any] | None:
        """The part's fields, of the values of its `parts`; None where it has no picture and thus does nothing."""
        given = {name: value for name, value in self.given(values).items() if value is not None}
        return given if "picture" in given else None

    def shown(self, part: BaseModel | None) -> list[Any]:
        """The new values of its `parts` for those of `part`. One without a picture leaves the one that is there; no
        part takes it away."""
        if part is None:
            return [None if name == "picture" else gr.skip() for name in self.widgets]
        given = {name: getattr(part, name) for name in type(part).model_fields}
        return self.merged({name: value for name, value in given.items() if name != "picture" or value is not None})


def put_others(owner: Form, field: str) -> list[Component]:
    """Put here what is said of the parts of `field` that there is no place for, and a button that leaves them out."""
    others = gr.State([])
    note = gr.HTML(elem_id=owner.element_id(f"other-{field}"), elem_classes="note")
    leave = gr.Button("Leave these out", size="sm", visible=False, elem_id=owner.element_id(f"no-other-{field}"))
    update(leave.click, lambda: shown_others([]), None, [others, note, leave])
    return [others, note, leave]


def shown_others(parts: Sequence[BaseModel]) -> list[Any]:
    """The new values of what `put_others` gives."""
    lines = "".join(f"<p>Beside it: {markup.escaped(str(part))}</p>" for part in parts)
    return [[part.model_dump(mode="json") for part in parts], lines, gr.update(visible=bool(parts))]


def together(owner: Form, field: str, parts: Sequence[PartForm], others: Sequence[Component] = ()) -> None:
    """Let `parts` be the list in `field` of the form `owner`, those without a picture left out. What a request has more
    of is kept in `others`, if these were put."""

    def read(values: Sequence[Any]) -> list[dict[str, Any]]:
        rest = iter(values)
        found = [part.part(list(islice(rest, len(part.parts)))) for part in parts]
        return [*(part for part in found if part is not None), *(next(rest, None) or [])]

    def show(request: Any) -> list[Any]:
        given = getattr(request, field)
        pairs = zip_longest(parts, given[: len(parts)])
        shown = [change for form, part in pairs for change in form.shown(part)]
        return [*shown, *(shown_others(given[len(parts) :]) if others else [])]

    components = [component for part in parts for component in part.parts]
    owner.group(field, Group([*components, *others], read, show))
