"""The tab that tells what a picture was made with, whichever program wrote it."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components.api_component import Api
from pydantic import BaseModel

from pipelines.engine.jobs import Engine
from presets.checks import field_extra
from presets.errors import UserError
from presets.foreign import PictureInfo, read_info
from presets.requests import KINDS
from tabs import markup
from tabs.inventory import available
from tabs.output import Updates
from tabs.records import in_words

TITLE = "Picture info"
ENDPOINT = "picture_info"
EMPTY = "A picture's settings: which program wrote it, and what it was made with."
_INFO: dict[str, Any] = {"type": "object", "additionalProperties": True}


class Question(BaseModel):
    """The parameters of the endpoint: a file as Gradio's clients send it."""

    picture: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Parts:
    """What others are linked to: `file` is where the picture is put, `found` the `PictureInfo` of the one shown, or
    None; `targets` is the row for the buttons that send it elsewhere."""

    file: gr.File
    found: gr.State
    targets: gr.Row


def build(engine: Engine) -> Parts:
    found = gr.State(None)
    with gr.Row(elem_classes="picture-info"):
        with gr.Column(scale=2, min_width=280):
            file = gr.File(label="A PNG, JPEG or WebP picture", elem_id="info-file", type="filepath", height=140)
            stage = gr.HTML(elem_id="info-picture")
        with gr.Column(scale=3, min_width=280):
            about = gr.HTML(markup.empty_stage(EMPTY), elem_id="info-about")
            targets = gr.Row(visible=False, elem_id="info-targets")
            with gr.Accordion("All texts in the file", open=False, visible=False, elem_id="info-texts") as texts:
                raw = gr.HTML(elem_id="info-raw")

    def look(path: str | None) -> Updates:
        nothing = gr.update(visible=False)
        updates: Updates = {
            found: None,
            targets: nothing,
            texts: nothing,
            stage: "",
            about: markup.empty_stage(EMPTY),
        }
        return updates | shown(path) if path else updates

    def shown(path: str) -> Updates:
        try:
            info = read_info(Path(path), available(engine))
        except UserError as problem:
            return {about: markup.error(str(problem))}
        size = (info.width, info.height)
        return {
            found: info,
            targets: gr.update(visible=info.request is not None),
            stage: markup.picture(markup.file_source(Path(path)), size, "The picture", finished=True),
            about: "".join(_about(info)),
            texts: gr.update(visible=bool(info.texts)),
            raw: markup.texts(info.texts.items()),
        }

    file.change(
        look,
        file,
        [found, targets, stage, about, texts, raw],
        queue=False,
        show_progress="hidden",
        trigger_mode="always_last",
        api_visibility="private",
    )
    return Parts(file, found, targets)


def target(parts: Parts, title: str, kind: str) -> gr.Button:
    """A button that sends the picture's settings to the tab called `title`."""
    with parts.targets:
        return gr.Button(f"Send to {title}", size="sm", elem_id=f"send-to-{kind}", min_width=160)


def add_endpoint(engine: Engine, parts: Parts) -> None:
    """`/picture_info`: the same as JSON. The file goes through Gradio's own checks, as a path may come from anyone."""

    def endpoint(picture: str) -> dict[str, Any]:
        try:
            return read_info(Path(picture or ""), available(engine)).model_dump(mode="json")
        except UserError as problem:
            raise gr.Error(str(problem), print_exception=False) from None

    gr.on(
        [],
        endpoint,
        parts.file,
        Api(None, _INFO, "info"),
        postprocess=False,
        show_progress="hidden",
        api_name=ENDPOINT,
        api_description="What a PNG, JPEG or WebP file tells of how it was made, whichever program wrote it.",
        queue=False,
    )


def _about(info: PictureInfo) -> Iterable[str]:
    """What was found, as HTML, the most important first."""
    kind = f"{info.format}, {info.width} × {info.height}"
    if info.request is None:
        yield markup.notice(f"{kind}. No settings were found that are known here.", info.notes)
        return
    yield markup.notice(f"{kind}, made with {info.program or 'an unknown program'}.")
    yield markup.notices("Missing here", map(str, info.missing))
    yield markup.notices("Not allowed here", info.refused)
    yield markup.section("Settings found", markup.table(_rows(info)))
    if info.ignored:
        yield markup.section("Cannot be honoured", markup.table(info.ignored.items()))
    yield markup.notices("To note", info.notes)


def _rows(info: PictureInfo) -> list[tuple[str, object]]:
    """Label and value of each field that the file told."""
    assert info.request
    labels = {name: field_extra(type(info.request), name).get("label") for name in info.restored}
    values = [(label, getattr(info.request, name)) for name, label in labels.items() if label]
    values += [(field_extra(KINDS[info.kind], name)["label"], value) for name, value in info.beside.items()]
    return [(label, in_words(value)) for label, value in values if value not in ("", (), None)]
