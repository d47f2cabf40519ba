"""A picture dropped anywhere on a tab: its settings fill the form, whichever program wrote them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr

from pipelines.engine.jobs import Engine
from presets.errors import UserError
from presets.foreign import PictureInfo, read_info
from presets.images import ImageRef
from tabs import markup
from tabs.form import Form
from tabs.inventory import available
from tabs.sending import begun_with
from tabs.updates import update
from tabs.uploads import reference, uploaded

CLASS = "dropped"
"""Of the unseen component that the page's script hands a picture to, in the tab that is open."""
NAME_SHOWN = 80


def connect(engine: Engine, form: Form, note: gr.HTML) -> None:
    """Take dropped pictures where this is called; `note` says what became of one."""
    file = gr.File(visible="hidden", elem_id=form.element_id("dropped"), elem_classes=CLASS)

    def fill(dropped: Mapping[str, Any] | None) -> list[Any]:
        if not dropped:
            return [gr.skip(), gr.skip(), *form.merged({})]
        try:
            path = uploaded(dropped, "picture")
            info = read_info(path, available(engine))
            given = reference(form.store, dropped, "picture") if form.store else None
        except UserError as problem:
            return [None, markup.error(str(problem)), *form.merged({})]
        return [None, _told(path, info), *form.merged(filling(form, info, given))]

    update(file.upload, fill, file, [file, note, *form.inputs])  # emptied, so that it takes the next one


def filling(form: Form, info: PictureInfo, picture: ImageRef | None) -> dict[str, Any]:
    """The fields of `form` that follow from what a picture's file tells. A kind that is given a picture is given this
    one, if the settings name no other."""
    begun = begun_with(form, picture, info.request) if picture else {}
    return {**{name: value for name, value in begun.items() if name not in info.settings}, **info.settings}


def _told(path: Path, info: PictureInfo) -> str:
    name = path.name if len(path.name) <= NAME_SHOWN else f"{path.name[:NAME_SHOWN]}…"
    if info.request is None:
        return markup.notice(f"{name} tells no settings that are known here.", info.notes)
    notes = (*map(str, info.missing), *info.refused, *info.notes)
    return markup.notice(f"Filled in from {name}, made with {info.program or 'an unknown program'}.", notes)
