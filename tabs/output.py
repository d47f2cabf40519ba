"""What a tab shows of its jobs: the big picture, the session's pictures, and the settings of the selected one."""

import json
from typing import Any

import gradio as gr
from gradio.blocks import Block

from pipelines.engine.jobs import Saved
from tabs import markup
from tabs.form import Form
from tabs.records import record, rows_of

Updates = dict[Block, Any]
"""Component -> new value or `gr.update`; components that are not in it stay as they are."""

Pictures = tuple[Saved, ...]
"""The session's pictures, the newest first."""


class Output:
    """The result side of the tab of `form`, put where it is made. `pictures`, `selected` and `job` are the page
    session's own; `targets` is the row for buttons that send the selected picture elsewhere."""

    def __init__(self, form: Form):
        self.status = gr.HTML(elem_id=form.element_id("status"), elem_classes="job-status")
        self.stage = gr.HTML(markup.empty_stage(), elem_id=form.element_id("stage"))
        self.pictures = gr.State(())
        self.selected = gr.State(0)
        self.job = gr.State("")
        with gr.Column(visible=False, elem_id=form.element_id("session")) as self.session:
            self.gallery = gr.Gallery(
                label="Pictures of this session",
                show_label=False,
                container=False,
                fit_columns=False,
                elem_id=form.element_id("session-pictures"),
                elem_classes="session-pictures",
                format="png",
                columns=6,
                object_fit="cover",
                height="auto",
                allow_preview=False,
                interactive=False,
                buttons=[],
            )
            with gr.Row(elem_classes="picture-actions"):
                self.reuse = gr.Button("Reuse settings", size="sm", elem_id=form.element_id("reuse-settings"))
                self.download = gr.HTML(elem_id=form.element_id("download-picture"))
            self.targets = gr.Row(elem_classes="picture-actions send-targets")
            self.details = gr.HTML(elem_id=form.element_id("details"))
            with gr.Accordion("As JSON", open=False, elem_id=form.element_id("record-panel")):
                self.record = gr.Code(
                    language="json", interactive=False, show_label=False, elem_id=form.element_id("record")
                )

    @property
    def components(self) -> list[Block]:
        """All that `shown` and `added` may update."""
        return [
            self.status,
            self.stage,
            self.pictures,
            self.selected,
            self.job,
            self.session,
            self.gallery,
            self.download,
            self.details,
            self.record,
        ]

    @property
    def settled(self) -> list[Block]:
        """All that `settle` may update."""
        return [self.stage, self.gallery]

    def connect(self, form: Form) -> None:
        """Let a click on a picture show it, and "Reuse settings" fill `form` from it."""

        def select(pictures: Pictures, event: gr.SelectData) -> Updates:
            return self.shown(pictures, event.index)

        def reuse(pictures: Pictures, selected: int) -> list[Any]:
            return form.values(pictures[selected].request)

        self.gallery.select(
            select,
            self.pictures,
            self.components,
            queue=False,
            show_progress="hidden",
            api_visibility="private",
        )
        self.reuse.click(
            reuse,
            [self.pictures, self.selected],
            form.inputs,
            queue=False,
            show_progress="hidden",
            api_visibility="private",
        )

    def added(self, pictures: Pictures) -> Updates:
        """The newest of `pictures` has just been saved: put it into the gallery and show it."""
        return {
            self.pictures: pictures,
            self.session: gr.update(visible=True),
            self.gallery: gr.update(value=_paths(pictures), selected_index=0),
            **self.shown(pictures, 0),
        }

    def settle(self, pictures: Pictures, selected: int) -> Updates:
        """Once no more come: no preview is left, and all pictures are there (a gallery that was just made visible can
        miss the second of two that come in one moment)."""
        paths = gr.update(value=_paths(pictures), selected_index=selected) if pictures else gr.skip()
        return {self.stage: self.stage_of(pictures, selected), self.gallery: paths}

    def shown(self, pictures: Pictures, index: int) -> Updates:
        """Picture `index` of the session is the big one."""
        saved = pictures[index]
        return {
            self.selected: index,
            self.stage: self.stage_of(pictures, index),
            self.download: markup.download(saved.path),
            self.details: markup.table(rows_of(saved)),
            self.record: json.dumps(record(saved), indent=2, ensure_ascii=False),
        }

    def stage_of(self, pictures: Pictures, index: int) -> str:
        """The stage with picture `index` of the session, or empty where there is none yet."""
        if index >= len(pictures):
            return markup.empty_stage()
        saved = pictures[index]
        size = saved.request.picture_size
        return markup.picture(markup.file_source(saved.path), size, saved.request.caption, finished=True)


def _paths(pictures: Pictures) -> list[str]:
    return [str(saved.path) for saved in pictures]
