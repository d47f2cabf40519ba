"""A picture in the larger frame that is drawn on it, to look at before."""

import io
from collections.abc import Sequence
from typing import Any

import gradio as gr
from PIL import Image

from pipelines.engine.jobs import Engine
from presets.errors import InvalidField
from presets.inputs import on_white
from tabs import markup
from tabs.form import Form
from tabs.updates import update
from tabs.uploads import reference

SIDES = ("left", "top", "right", "bottom")
PREVIEW_SIDE = 256
"""Pixels of the longer side of the picture inside."""


def build(engine: Engine, form: Form) -> None:
    """Put it here: the picture of the field `image` with what the fields `extend_...` add, empty where they add
    nothing."""
    frame = gr.HTML(elem_id=form.element_id("frame"))
    widgets = [form.widgets[name] for name in ("image", *(f"extend_{side}" for side in SIDES))]

    def draw(file: Any, *added: Any) -> str:
        sides = [side if isinstance(side, int) and side > 0 else 0 for side in added]
        try:
            picture = engine.inputs.open(reference(engine.inputs, file, "image")) if file and any(sides) else None
        except InvalidField:
            return ""
        return framed(on_white(picture), sides) if picture else ""

    for widget in widgets:
        update(widget.change, draw, widgets, frame)


def framed(picture: Image.Image, added: Sequence[int]) -> str:
    """`picture` (RGB) with so many pixels `added` at the left, top, right and bottom, as HTML."""
    left, top, right, bottom = added
    width, height = picture.width + left + right, picture.height + top + bottom
    place = (
        f"left:{left / width:.2%};top:{top / height:.2%};"
        f"width:{picture.width / width:.2%};height:{picture.height / height:.2%}"
    )
    source = markup.webp_source(_small(picture))
    words = f"{picture.width} × {picture.height} becomes {width} × {height}; what is hatched is drawn anew."
    return (
        f'<figure class="frame"><div style="aspect-ratio:{width}/{height}"><img src="{source}" alt="" style="{place}">'
        f"</div><figcaption>{words}</figcaption></figure>"
    )


def _small(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    small = picture.copy()
    small.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
    small.save(buffer, "WEBP", quality=80)
    return buffer.getvalue()
