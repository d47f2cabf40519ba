"""The panel of one's own presets: save the form as one, rename, delete, import, export."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from presets.errors import UserError
from presets.links import query_of
from presets.partial import accepted
from presets.parts import without_pictures
from presets.requests import KINDS
from tabs import markup
from tabs.form import Form
from tabs.preset_row import PresetRow
from tabs.updates import on_page_load, update

KEPT: Mapping[str, tuple[str, ...]] = {
    "Prompts": ("prompt", "negative_prompt", "styles"),
    "Checkpoint": ("checkpoint", "vae"),
    "LoRAs": ("loras",),
    "Size": ("width", "height"),
    "Seed": ("seed",),
}
"""What a preset may leave as it is -> its fields. All others are always kept."""


class Panel:
    """The panel for the presets of `row`, closed at first, put where it is made."""

    def __init__(self, row: PresetRow, form: Form):
        self.row, self.form, self.library, self.kind = row, form, row.library, row.kind
        with gr.Accordion("Your presets", open=False, elem_id=f"{self.kind}-own-presets"):
            with gr.Row():
                self.title = gr.Textbox(label="Name", max_lines=1, elem_id=f"{self.kind}-preset-title", min_width=160)
                usual = [name for name in KEPT if name != "Seed"]
                self.kept = gr.CheckboxGroup(list(KEPT), value=usual, label="Keep beside the other settings", scale=2)
            with gr.Row(elem_classes="preset-buttons"):
                self.save = self._button("Save the form", "save")
                self.overwrite = gr.Checkbox(label="Replace the one of that name", container=False, min_width=220)
            with gr.Row():
                self.chosen = gr.Dropdown(
                    self._choices(), value=None, label="Preset", elem_id=f"{self.kind}-preset-chosen", min_width=160
                )
                self.link = gr.HTML(elem_id=f"{self.kind}-preset-link")
            with gr.Row(elem_classes="preset-buttons"):
                self.rename = self._button("Rename to the name above", "rename")
                self.delete = self._button("Delete", "delete")
                self.add = gr.UploadButton(
                    "Import a file", size="sm", file_types=[".toml"], elem_id=f"{self.kind}-preset-import"
                )
        self._connect()

    def _button(self, text: str, name: str) -> gr.Button:
        return gr.Button(text, size="sm", elem_id=f"{self.kind}-preset-{name}")

    def _connect(self) -> None:
        outputs = [self.row.cards, self.row.note, self.chosen, self.link]
        update(self.save.click, self._save, [self.title, self.kept, self.overwrite, *self.form.inputs], outputs)
        update(self.rename.click, self._rename, [self.chosen, self.title], outputs)
        update(self.delete.click, self._delete, self.chosen, outputs)
        update(self.chosen.change, self._export, self.chosen, self.link)
        update(on_page_load, lambda: gr.update(choices=self._choices()), None, self.chosen)
        self.add.upload(self._import, self.add, outputs, queue=False, show_progress="hidden", api_visibility="private")

    def _save(self, title: str, parts: Sequence[str], overwrite: bool, *values: Any) -> list[Any]:
        def done() -> tuple[str, str | None]:
            kept = to_keep(self.form, parts, values)
            preset = self.library.save(self.kind, title or "", kept, overwrite=bool(overwrite))
            return f"Saved as {preset.title}.", preset.name

        return self._told(done)

    def _rename(self, name: str | None, title: str) -> list[Any]:
        def done() -> tuple[str, str | None]:
            preset = self.library.rename(self.kind, name or "", title or "")
            return f"It is called {preset.title} now.", preset.name

        return self._told(done)

    def _delete(self, name: str | None) -> list[Any]:
        def done() -> tuple[str, str | None]:
            preset = self.library.find(self.kind, name or "")
            self.library.delete(self.kind, preset.name)
            return f"Deleted {preset.title}.", None

        return self._told(done)

    def _import(self, path: str) -> list[Any]:
        def done() -> tuple[str, str | None]:
            preset = self.library.add_file(Path(path))
            if preset.kind != self.kind:
                return f"Imported as {preset.title}: it is for {KINDS[preset.kind].title}.", None
            return f"Imported as {preset.title}.", preset.name

        return self._told(done)

    def _told(self, done: Callable[[], tuple[str, str | None]]) -> list[Any]:
        """What cards, note, list and link show after `done`, which tells of itself and names a preset."""
        try:
            note, name = done()
        except UserError as problem:
            return [gr.skip(), markup.error(str(problem)), gr.skip(), gr.skip()]
        chosen = gr.update(choices=self._choices(), value=name)
        return [self.row.shown(), markup.notice(note), chosen, self._export(name)]

    def _choices(self) -> list[tuple[str, str]]:
        return [(preset.title, preset.name) for preset in self.library.presets(self.kind)]

    def _export(self, name: str | None) -> str:
        """The file of a preset to keep elsewhere and its link, as HTML."""
        try:
            path = self.library.exported(self.kind, name or "")
            file = markup.file_of(path.name, path.read_bytes(), "Export as a file")
        except (UserError, OSError):
            return ""
        try:
            return file + markup.link(f"?{query_of(path)}", "Link to share", "Opens Easel with the form filled.")
        except UserError:
            return file


def to_keep(form: Form, parts: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    """The fields of the form as a preset keeps them: without pictures, and without what is not among `parts`.

    Raises `InvalidField` for a value that is not allowed.
    """
    left_out = {name for part, names in KEPT.items() if part not in (parts or ()) for name in names}
    given = without_pictures(form.kind, form.given(values))
    whole = {name: form.kind.model_fields[name].default if value is None else value for name, value in given.items()}
    kept, problems = accepted(form.kind, {name: value for name, value in whole.items() if name not in left_out})
    if problems:
        raise problems[0]
    return kept
