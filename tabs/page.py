"""The page: its tabs in order, and the links between them."""

from collections.abc import Mapping
from typing import Any

import gradio as gr

from pipelines.engine.jobs import Engine
from presets.foreign import PictureInfo
from presets.library import Library
from presets.requests import KINDS
from tabs import (
    api,
    control_picture,
    controlnet,
    copy_as,
    dropping,
    gallery,
    image_to_image,
    inpaint,
    job_links,
    models,
    own_presets,
    picture_info,
    preset_links,
    queue_panel,
    sending,
    text_to_image,
    upscale,
)
from tabs.form import Form
from tabs.pictures import Pictures
from tabs.preset_row import PresetRow
from tabs.starting import watch_start
from tabs.updates import update
from tabs.uploads import reference

TABS = {
    "text-to-image": text_to_image.build,
    "image-to-image": image_to_image.build,
    "inpaint": inpaint.build,
    "controlnet": controlnet.build,
    "control-picture": control_picture.build,
    "upscale": upscale.build,
}
"""Kind of request -> what lays out its tab, in the page's order."""


def build_page(
    engine: Engine,
    library: Library | None = None,
    *,
    manage_models: bool = True,
    pictures: Pictures | None = None,
    hub_sign_in: bool = False,
    safety_checker: bool = False,
) -> gr.Blocks:
    """The whole page over `engine`, not yet served, with the presets of `library`, else the built-in ones.

    `manage_models` lets visitors load and unload models, and change the presets; with `pictures` there is a gallery;
    `hub_sign_in` lets them sign in with their Hugging Face account; whether there is a `safety_checker` is told.
    """
    library = library or Library()
    with gr.Blocks(title="Easel", analytics_enabled=False, fill_width=True, delete_cache=(3600, 86400)) as page:
        header = gr.HTML(_HEADER, elem_id="easel-header")
        if hub_sign_in:
            gr.LoginButton(size="sm", elem_id="hub-sign-in")
        state = gr.HTML(elem_id="engine-state")
        with gr.Tabs(elem_id="tabs") as tabs:
            made, rows = [], []
            for name, build in TABS.items():
                with gr.Tab(KINDS[name].title, id=name):
                    row = PresetRow(library, KINDS[name])
                    tab = build(engine)
                    row.connect(engine, tab.form)
                    dropping.connect(engine, tab.form, row.note)
                    if manage_models:
                        own_presets.Panel(row, tab.form)
                    made.append(tab)
                    rows.append(row)
            chosen = None
            if pictures:
                with gr.Tab(gallery.TITLE, id="gallery"):
                    chosen = gallery.build(pictures)
            with gr.Tab(picture_info.TITLE, id="picture-info"):
                info = picture_info.build(engine)
            with gr.Tab(models.TITLE, id="models"):
                models.build(engine, tabs, manage=manage_models)
            with gr.Tab(queue_panel.TITLE, id="queue"):
                queue_panel.build(engine, tabs)
        sending.connect(made, tabs)
        if chosen:
            sending.connect_chosen(chosen.pictures, chosen.targets, made, tabs)
        preset_links.connect(engine, rows, made, tabs)
        job_links.connect(engine, made, tabs)
        for tab in made:
            _link(info, tab.form, tabs)
            copy_as.build(tab.output)
        gr.HTML(_FOOTER.format(checker="on" if safety_checker else "off"), elem_id="easel-footer")
        watch_start(engine, page, state)
        api.add_endpoints(engine, library)
        picture_info.add_endpoint(engine, info)
    _track_in(page, header)
    return page


def _track_in(page: gr.Blocks, component: gr.HTML) -> None:
    """Let the browser note of `component` alone, the page's first, how far hidden events are: it would go through the
    whole page for each component that any event has changed so far, with every step that a job tells."""
    for event in page.fns.values():
        if event.show_progress == "hidden":
            event.show_progress_on = [component]


def _link(info: picture_info.Parts, form: Form, tabs: gr.Tabs) -> None:
    """A button in `info` that fills `form` with what was found in a picture, and opens its tab. A kind that is given a
    picture is given this one, if what was found names no other."""
    kind = str(form.kind.model_fields["kind"].default)
    button = picture_info.target(info, form.kind.title, kind)

    def send(found: PictureInfo, file: Mapping[str, Any] | None) -> list[Any]:
        given = reference(form.store, file, "image") if file and form.store else None
        return [gr.Tabs(selected=kind), *form.merged(dropping.filling(form, found, given))]

    update(button.click, send, [info.found, info.file], [tabs, *form.inputs])


_HEADER = """
<h1>Easel</h1>
<p>A Stable Diffusion studio in a browser tab. Everything is made on this machine.</p>
"""
_FOOTER = "<p>Easel · Apache-2.0 · safety checker {checker} · <kbd>Ctrl</kbd>+<kbd>Enter</kbd> generates</p>"
