"""What browsers paint in an editor: taken, bounded, and brought to pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components.base import server
from gradio.components.image_editor import AcceptBlobs, EditorDataBlobs
from PIL import Image

from presets.images import FILE_LIMIT
from presets.inputs import decode
from tabs.uploads import uploaded

KEPT_BLOBS = 16
"""Paintings that browsers sent and that may not have been read yet."""


def painted_layers(editor: gr.ImageEditor, value: Any, field: str = "mask") -> Sequence[Image.Image]:
    """The layers painted for `field`. Browsers send them aside and name them by an id."""
    if not isinstance(value, Mapping):
        return ()
    if identifier := value.get("id"):
        sent = editor.blob_storage.get(str(identifier))
        contents = sent.layers if sent else ()
    else:
        contents = [Path(uploaded(layer, field)).read_bytes() for layer in value.get("layers") or ()]
    return [_image(content, field) for content in contents if content]


class _Blobs(dict[str, EditorDataBlobs]):
    """The latest `KEPT_BLOBS` paintings."""

    def __setitem__(self, identifier: str, painting: EditorDataBlobs) -> None:
        super().__setitem__(identifier, painting)
        while len(self) > KEPT_BLOBS:
            self.pop(next(iter(self)))


def bound_paintings(editor: gr.ImageEditor) -> None:
    """Bound what anybody can have `editor` keep: Gradio makes room for whatever layer is named, and drops nothing."""
    accept = editor.accept_blobs
    editor.blob_storage = _Blobs()

    @server
    def accept_blobs(data: AcceptBlobs) -> None:
        index = str(data.data.get("index") or "0")
        if index not in ("null", "0") or any(len(content) > FILE_LIMIT for _, content in data.files):
            raise gr.Error("A painting has one layer, of at most 32 MiB.", print_exception=False)
        accept(data)

    editor.accept_blobs = accept_blobs


def _image(content: bytes, field: str) -> Image.Image:
    return decode(content, field)[0]
