"""Presets shared by link: a page that is opened with one has its form filled."""

from collections.abc import Sequence
from typing import Any

import gradio as gr
from gradio.components import Component

from pipelines.engine.jobs import Engine
from presets.errors import UserError
from presets.links import PARAMETER, preset_in
from tabs import markup
from tabs.preset_row import PresetRow, filled_from
from tabs.tab import Tab
from tabs.updates import on_page_load, update


def connect(engine: Engine, rows: Sequence[PresetRow], all_tabs: Sequence[Tab], tabs: gr.Tabs) -> None:
    """Let a page that is opened with a preset in its address show that preset's tab, filled."""
    notes: dict[str, Component] = {row.kind: row.note for row in rows}
    forms = {tab.kind: tab.form for tab in all_tabs}
    link = gr.State("")  # of its own: a browser takes seconds to see that none of all fields changes

    def arrived(request: gr.Request) -> str:
        return request.query_params.get(PARAMETER, "")

    def opened(value: str) -> Any:
        try:
            preset = preset_in(value)
        except UserError as problem:
            return {next(iter(notes.values())): markup.error(str(problem))}
        form = forms[preset.kind]
        note, *changes = filled_from(engine, form, preset)
        updates: dict[Any, Any] = dict(zip(form.inputs, changes, strict=True))
        return updates | {notes[preset.kind]: note, tabs: gr.Tabs(selected=preset.kind)}

    inputs = [part for form in forms.values() for part in form.inputs]
    on_page_load(arrived, None, link, show_progress="hidden", api_visibility="private")  # a change needs the queue
    update(link.change, opened, link, [tabs, *notes.values(), *inputs])
