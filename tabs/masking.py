"""The part of a form that paints a mask over the picture that is given."""

from collections.abc import Sequence
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from pipelines.engine.jobs import Engine
from presets.checks import field_extra, field_schemas
from presets.errors import InvalidField
from presets.images import ImageMissing, ImageRef
from presets.inputs import Inputs, on_white
from tabs.form import Form
from tabs.paintings import bound_paintings, painted_layers
from tabs.updates import update
from tabs.uploads import reference
from tabs.widgets import Group

EDITOR_SIDE = 1536
"""Pixels that a larger picture is painted on at; its mask is brought to its size."""
PAINT = "#ffffff"
SHADES = (PAINT, "#bfbfbf", "#808080", "#404040")
"""Of these all but the first mean something to a soft mask alone."""


def build(engine: Engine, form: Form) -> None:
    """Put the field `mask` here: an editor that shows the picture of the field `image` as soon as it is chosen."""
    label, information = field_extra(form.kind, "mask")["label"], field_schemas(form.kind)["mask"]["description"]
    editor = gr.ImageEditor(
        label=f"{label}: paint over what is to be redrawn",
        type="filepath",
        format="png",
        sources=(),
        transforms=(),
        layers=False,
        brush=gr.Brush(colors=[*SHADES], default_color=PAINT, color_mode="fixed"),
        buttons=["fullscreen"],
        height=420,
        elem_id=form.element_id("mask"),
        elem_classes="mask-editor",
        interactive=True,
    )
    bound_paintings(editor)
    with gr.Row(elem_classes="mask-buttons"):
        load = gr.UploadButton(
            "Mask from a file", size="sm", file_types=["image"], elem_id=form.element_id("mask-file"), min_width=120
        )
        clear = gr.Button("Clear the mask", size="sm", elem_id=form.element_id("mask-clear"), min_width=120)
    gr.HTML(f"<p>{information}</p>", elem_classes="note")
    painted_on = gr.State("")
    form.group(
        "mask",
        Group(
            (editor, painted_on),
            lambda values: read(engine.inputs, editor, values[0]),
            lambda request: shown(engine.inputs, request.image, request.mask),
        ),
    )
    image = form.widgets["image"]

    def follow(value: Any, painted_on: str) -> Sequence[Any]:
        """Another picture has been chosen: a mask for the one before is of no use."""
        chosen = chosen_picture(engine.inputs, value, "image")
        if chosen and chosen.sha256 == painted_on:
            return gr.skip(), gr.skip()
        return shown(engine.inputs, chosen, None)

    def begin_anew(value: Any, file: Any = None) -> Sequence[Any]:
        chosen, mask = chosen_picture(engine.inputs, value, "image"), chosen_picture(engine.inputs, file, "mask")
        return shown(engine.inputs, chosen, mask)

    update(image.change, follow, [image, painted_on], [editor, painted_on])
    update(clear.click, begin_anew, image, [editor, painted_on])
    update(load.upload, begin_anew, [image, load], [editor, painted_on])


def chosen_picture(inputs: Inputs, file: Any, field: str) -> ImageRef | None:
    """The uploaded `file`; None where there is none of use, which is said once it is to be drawn."""
    try:
        return reference(inputs, file, field) if file else None
    except InvalidField:
        return None


def shown(inputs: Inputs, image: ImageRef | None, mask: ImageRef | None) -> Sequence[Any]:
    """The editor's value for a picture and its mask, and the name of the picture that is painted on."""
    try:
        picture = on_white(inputs.open(image)) if image else None
        layer = inputs.levels(mask) if mask else None
    except ImageMissing:
        return None, ""
    return (None, "") if picture is None or image is None else (editor_value(picture, layer), image.sha256)


def editor_value(picture: Image.Image, mask: Image.Image | None) -> dict[str, Any]:
    """`picture` (RGB) to paint on, with `mask` (one channel) painted already."""
    background = picture.copy()
    background.thumbnail((EDITOR_SIDE, EDITOR_SIDE))
    layers = []
    if mask is not None:
        layer = Image.new("RGBA", background.size, PAINT)
        layer.putalpha(mask.resize(background.size, Image.Resampling.NEAREST))
        layers.append(layer)
    composite = background.convert("RGBA")
    for layer in layers:
        composite.alpha_composite(layer)
    return {"background": background, "layers": layers, "composite": composite}


def read(inputs: Inputs, editor: gr.ImageEditor, value: Any) -> ImageRef | None:
    """What is painted, kept as a mask; None where nothing is."""
    layers = [layer for layer in painted_layers(editor, value) if layer is not None]
    if not layers:
        return None
    levels = np.max([_levels(layer) for layer in layers], axis=0)
    if not levels.any():
        return None
    mask = Image.merge("RGB", [Image.fromarray(levels)] * 3)
    return inputs.keep(mask, field="mask")


def _levels(layer: Image.Image) -> np.ndarray:
    """How light each pixel is painted, 0 where it is not."""
    painted = layer.convert("RGBA")
    lightness, alpha = (np.asarray(channel, np.uint16) for channel in (painted.convert("L"), painted.getchannel("A")))
    return ((lightness * alpha + 127) // 255).astype(np.uint8)
