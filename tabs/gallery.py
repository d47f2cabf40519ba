"""The tab of the gallery: all saved pictures, searched, starred, put on boards, compared, deleted and fetched.

The list is the page's own (`gallery.js`), which asks the routes beside the page (`http_pictures.py`), so that 20,000
pictures cost the page nothing. Gradio shows the one that is chosen, and sends it to other tabs.
"""

from dataclasses import dataclass

import gradio as gr
from gradio.blocks import Block
from pydantic import ValidationError

from pipelines.engine.jobs import Saved
from presets.errors import UserError
from presets.gallery_files import Picture
from presets.metadata import MetadataUnreadable, read_request
from tabs import markup
from tabs.gallery_markup import SKELETON
from tabs.output import Updates
from tabs.pictures import Pictures
from tabs.records import rows_of
from tabs.theme import FOLDER
from tabs.updates import update

TITLE = "Gallery"
SCRIPTS = ("gallery.js", "gallery_actions.js")
TOLD = ("timings", "peak_memory", "warnings", "notes")
"""What is shown of a picture's record."""
EMPTY = "Choose a picture to see it with its settings"


@dataclass(frozen=True, slots=True)
class Parts:
    """What others are linked to: `pictures` holds the one that is chosen, or nothing; `targets` is the row for the
    buttons that send it elsewhere."""

    pictures: gr.State
    targets: gr.Row


def build(pictures: Pictures) -> Parts:
    chosen = gr.State(())
    with gr.Row(elem_classes="gallery"):
        with gr.Column(scale=7, min_width=300):
            view = gr.HTML(SKELETON, elem_id="gallery", js_on_load=_script())
        with gr.Column(scale=5, min_width=280):
            stage = gr.HTML(markup.empty_stage(EMPTY), elem_id="gallery-stage")
            with gr.Column(visible=False, elem_id="gallery-chosen") as panel:
                link = gr.HTML(elem_id="gallery-download-picture")
                targets = gr.Row(elem_classes="picture-actions send-targets")
                details = gr.HTML(elem_id="gallery-details")
    outputs: list[Block] = [chosen, stage, panel, link, details]

    def show(request: gr.Request, event: gr.SelectData) -> Updates:
        picture = _own(pictures, str(event.value), request)
        if picture is None:
            return {chosen: (), stage: markup.empty_stage(EMPTY), panel: gr.update(visible=False), details: ""}
        saved = saved_of(picture)
        return {
            chosen: (saved,),
            stage: _stage(picture),
            panel: gr.update(visible=True),
            link: markup.download(picture.path),
            details: markup.table([*rows_of(saved), *(("Board", name) for name in picture.boards)]),
        }

    update(view.select, show, None, outputs)
    return Parts(chosen, targets)


def saved_of(picture: Picture) -> Saved:
    """The picture with what its file tells of how it was made, as far as that can be true."""
    plain = {"index": 0, "path": picture.path, "request": picture.request}
    try:
        recovered = read_request(picture.path)
        record = recovered.record if recovered else {}
        return Saved.model_validate({**plain, **{name: record[name] for name in TOLD if name in record}})
    except (MetadataUnreadable, ValidationError):
        return Saved.model_validate(plain)


def _script() -> str:
    return "\n".join(FOLDER.joinpath(name).read_text(encoding="utf-8") for name in SCRIPTS)


def _own(pictures: Pictures, identifier: str, request: gr.Request) -> Picture | None:
    if request.request is None or not identifier:
        return None
    try:
        picture = pictures.gallery.get(identifier, pictures.owner(request.request))
    except UserError:
        return None
    return picture if picture and picture.path.is_file() else None


def _stage(picture: Picture) -> str:
    source = f"api/pictures/{picture.identifier}/file"
    size = (picture.width, picture.height)
    return markup.picture(source, size, picture.request.caption, finished=True)
