"""The part of a form that paints on the picture that is given: what is painted becomes a part of it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import gradio as gr
from gradio.components import Component
from PIL import Image

from presets.images import ImageRef
from presets.inputs import Inputs
from presets.request import Request, RequestType
from tabs.batch_form import BatchForm
from tabs.masking import chosen_picture, shown
from tabs.paintings import bound_paintings, painted_layers
from tabs.updates import update

COLOURS = ["#e03131", "#f76707", "#ffd43b", "#2f9e44", "#1c7ed6", "#7048e8", "#f8c9a0", "#8d5524", "#ffffff", "#000000"]


class SketchForm(BatchForm[RequestType]):
    """A form whose picture can be painted on."""

    editor: gr.ImageEditor | None = None

    def put_editor(self) -> None:
        """Put here an editor that, while it is open, shows the picture of the field `image`."""
        with gr.Accordion("Paint on the picture", open=False, elem_id=self.element_id("sketch-panel")) as panel:
            self.editor = gr.ImageEditor(
                label="Sketch",
                type="filepath",
                format="png",
                sources=(),
                transforms=(),
                layers=False,
                brush=gr.Brush(colors=[*COLOURS], default_color=COLOURS[0], color_mode="defaults"),
                buttons=["fullscreen"],
                height=420,
                elem_id=self.element_id("sketch"),
                elem_classes="mask-editor",
                interactive=True,
            )
            clear = gr.Button("Clear what is painted", size="sm", elem_id=self.element_id("sketch-clear"))
        bound_paintings(self.editor)
        self._painted_on, is_open = gr.State(""), gr.State(False)
        places, image = [self.editor, self._painted_on], self.widgets["image"]
        update(image.change, self._follow, [image, self._painted_on, is_open], places)
        update(panel.expand, self._open, [image, self._painted_on], [*places, is_open])
        update(panel.collapse, lambda: False, None, is_open)
        update(clear.click, self._begin_anew, image, places)

    def _follow(self, value: Any, painted_on: str, is_open: bool) -> Sequence[Any]:
        """Another picture has been chosen: what was painted on the one before is of no use. It is shown to those who
        look, since that takes a large one a second."""
        if not is_open:
            return (None, "") if painted_on else (gr.skip(), gr.skip())
        return self._open(value, painted_on)[:2]

    def _open(self, value: Any, painted_on: str) -> Sequence[Any]:
        assert self.store is not None
        chosen = chosen_picture(self.store, value, "image")
        is_shown = chosen is not None and chosen.sha256 == painted_on
        return *((gr.skip(), gr.skip()) if is_shown else shown(self.store, chosen, None)), True

    def _begin_anew(self, value: Any) -> Sequence[Any]:
        assert self.store is not None
        return shown(self.store, chosen_picture(self.store, value, "image"), None)

    @property
    def inputs(self) -> list[Component]:
        return [*super().inputs, *([self.editor, self._painted_on] if self.editor else [])]

    def given(self, values: Iterable[Any]) -> dict[str, Any]:
        """With what is painted on the picture, where it is on this one."""
        values = list(values)
        given, places = super().given(values), len(super().inputs)
        image, store = given.get("image"), self.store
        if self.editor is None or store is None or not isinstance(image, ImageRef) or len(values) < places + 2:
            return given
        sketch, painted_on = values[places : places + 2]
        if image.sha256 != painted_on:
            return given
        return {**given, "image": painted(store, image, painted_layers(self.editor, sketch, "image"))}

    def values(self, request: Request) -> list[Any]:
        return [*super().values(request), *self._unchanged]

    def merged(self, values: Mapping[str, Any]) -> list[Any]:
        return [*super().merged(values), *self._unchanged]

    @property
    def _unchanged(self) -> Sequence[Any]:
        """The editor follows the picture."""
        return (gr.skip(), gr.skip()) if self.editor else ()


def painted(inputs: Inputs, image: ImageRef, layers: Iterable[Image.Image]) -> ImageRef:
    """`image` with what is painted on it in `layers`, kept; itself where that is nothing."""
    seen = [layer.convert("RGBA") for layer in layers if layer.convert("RGBA").getchannel("A").getbbox()]
    if not seen:
        return image
    picture = inputs.open(image)
    result = picture.convert("RGBA")
    for layer in seen:
        result.alpha_composite(layer.resize(result.size, Image.Resampling.BILINEAR))
    return inputs.keep(result.convert(picture.mode))
