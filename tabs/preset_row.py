"""The row of presets above a form: one click on a card fills the fields that it has."""

import functools
import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from pipelines.engine.jobs import Engine
from presets.available import localised
from presets.errors import UserError
from presets.library import Library, Preset
from presets.parts import without_pictures
from presets.requests import AnyRequest
from tabs import markup
from tabs.form import Form
from tabs.inventory import available
from tabs.updates import on_page_load, update

THUMBNAIL_LIMIT = 100_000
"""Bytes of a picture on a card; a larger one is not shown."""

_SELECT = """element.addEventListener('click', (event) => {
    const card = event.target.closest('[data-preset]');
    if (card) trigger('select', { index: 0, value: card.dataset.preset });
});"""


class PresetRow:
    """The cards of one kind, put where it is made. `note` says what became of a click."""

    def __init__(self, library: Library, kind: type[AnyRequest]):
        self.library = library
        self.kind = str(kind.model_fields["kind"].default)
        self.cards = gr.HTML(
            self.shown(), js_on_load=_SELECT, elem_id=f"{self.kind}-presets", elem_classes="preset-row"
        )
        self.note = gr.HTML(elem_id=f"{self.kind}-preset-note", elem_classes="preset-note")

    def connect(self, engine: Engine, form: Form) -> None:
        """Let a click on a card fill `form`."""

        def apply(event: gr.SelectData) -> list[Any]:
            return filled(engine, self.library, form, str(event.value))

        update(self.cards.select, apply, None, [self.note, *form.inputs])
        update(on_page_load, self.shown, None, self.cards)

    def shown(self) -> str:
        """The cards as they are now, as HTML."""
        return cards(self.library.presets(self.kind))


def filled(engine: Engine, library: Library, form: Form, name: str) -> list[Any]:
    """What is said of the preset `name`, as HTML, then the changes of the form's inputs."""
    kind = str(form.kind.model_fields["kind"].default)
    try:
        preset = library.find(kind, name)
    except UserError as problem:
        return [markup.error(str(problem)), *form.merged({})]
    return filled_from(engine, form, preset)


def filled_from(engine: Engine, form: Form, preset: Preset) -> list[Any]:
    """What is said of `preset`, as HTML, then the changes of the form's inputs."""
    values, missing = localised(preset.values, available(engine))
    values = without_pictures(form.kind, values)  # those come from the person
    notes = (*map(str, missing), *preset.warnings)
    return [markup.notice(f"{preset.title}. {preset.help}", notes), *form.merged(values)]


def cards(presets: Sequence[Preset]) -> str:
    return f'<div class="presets">{"".join(map(_card, presets))}</div>'


def _card(preset: Preset) -> str:
    picture = _picture(preset.thumbnail) if preset.thumbnail else ""
    face = f'<img src="{picture}" alt="">' if picture else f"<i>{html.escape(preset.title[:1])}</i>"
    name, words = html.escape(preset.name), html.escape(preset.help or preset.title)
    return f'<button type="button" data-preset="{name}" title="{words}">{face}{markup.escaped(preset.title)}</button>'


def _picture(path: Path) -> str:
    """A thumbnail as a data URL; empty where there is none that can be read."""
    try:
        state = path.stat()
        return _read(path, state.st_mtime_ns) if state.st_size <= THUMBNAIL_LIMIT else ""
    except OSError:
        return ""


@functools.lru_cache(maxsize=256)
def _read(path: Path, _changed: int) -> str:
    return markup.webp_source(path.read_bytes())
