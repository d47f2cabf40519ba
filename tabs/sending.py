"""Results that go on to another tab, with the settings that made them."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from pipelines.engine.jobs import Saved
from presets.control_picture import ControlPicture
from presets.controlnet import ControlUnit, FromUnits
from presets.errors import UserError
from presets.images import ImageRef
from presets.parts import parts_with_pictures, picture_fields
from presets.request import FromPicture, Request
from tabs.form import Form
from tabs.output import Pictures
from tabs.tab import Tab
from tabs.updates import update

_SIZE = ("width", "height")


def connect(all_tabs: Sequence[Tab], tabs: gr.Tabs) -> None:
    """Under the pictures of each tab, a button for every other tab."""
    for source in all_tabs:
        with source.output.targets:
            gr.HTML("Send to", elem_classes="send-to")
        for target in all_tabs:
            if target is not source:
                identifier = source.form.element_id(f"send-to-{target.kind}")
                _link(source.output.targets, identifier, [source.output.pictures, source.output.selected], target, tabs)


def connect_chosen(pictures: gr.State, place: gr.Row, all_tabs: Sequence[Tab], tabs: gr.Tabs) -> None:
    """In `place`, a button for every tab, which is sent the first of `pictures`; the tab that made it gets all of its
    settings."""
    with place:
        gr.HTML("Send to", elem_classes="send-to")
    for target in all_tabs:
        _link(place, f"gallery-send-to-{target.kind}", [pictures, gr.State(0)], target, tabs)


def _link(place: gr.Row, identifier: str, chosen: list[gr.State], target: Tab, tabs: gr.Tabs) -> None:
    with place:
        button = gr.Button(target.form.kind.title, size="sm", elem_id=identifier, min_width=60)

    def send(pictures: Pictures, selected: int) -> list[Any]:
        if selected >= len(pictures):
            return [gr.skip(), *form.merged({})]
        saved = pictures[selected]
        changes = form.values(saved.request) if type(saved.request) is form.kind else form.merged(sent(saved, form))
        return [gr.Tabs(selected=target.kind), *changes]

    form = target.form
    update(button.click, send, chosen, [tabs, *form.inputs])


def sent(saved: Saved, form: Form) -> dict[str, Any]:
    """The fields of `form` that follow from a picture and what made it. What it began from is not among them, and of a
    form that begins from a picture neither is the size. Raises `gr.Error` where the picture is gone."""
    own = type(saved.request).model_fields
    pictures = (*picture_fields(form.kind), *parts_with_pictures(form.kind))
    common = [name for name, field in form.kind.model_fields.items() if name in own and _alike(field, own[name])]
    values = {name: getattr(saved.request, name) for name in common if name not in ("kind", *pictures)}
    if issubclass(form.kind, FromPicture | FromUnits):
        values |= dict.fromkeys([name for name in _SIZE if name in values])
        values |= begun_with(form, _kept(saved, form), saved.request)
    return values


def begun_with(form: Form, picture: ImageRef, made_by: Request | None) -> dict[str, Any]:
    """The fields of `form` that make it begin with `picture`; where it follows pictures, with the outlines of it, or
    the picture as it is where `made_by` made a control picture."""
    if issubclass(form.kind, FromUnits):
        preprocessor = "none" if isinstance(made_by, ControlPicture) else "canny"
        return {"units": (ControlUnit(picture=picture, preprocessor=preprocessor),)}
    return {"image": picture} if issubclass(form.kind, FromPicture) else {}


def _alike(own: Any, other: Any) -> bool:
    """Whether two fields of one name mean the same: a default that differs says that they do not."""
    return own.default == other.default


def _kept(saved: Saved, form: Form) -> ImageRef:
    assert form.store
    try:
        return form.store.add(saved.path, "image")
    except UserError as problem:
        raise gr.Error(str(problem), print_exception=False) from None
