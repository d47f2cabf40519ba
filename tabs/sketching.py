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
        """Put here an editor that shows the picture of the field `image` as soon as it is chosen."""
        with gr.Accordion("Paint on the picture", open=False, elem_id=self.element_id("sketch-panel")):
            self.editor = gr.ImageEditor(
                label="What is painted is redrawn with the picture",
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
        self._painted_on = gr.State("")
        places = [self.editor, self._painted_on]
        update(self.widgets["image"].change, self._follow, [self.widgets["image"], self._painted_on], places)
        update(clear.click, self._begin_anew, self.widgets["image"], places)

    def _follow(self, value: Any, painted_on: str) -> Sequence[Any]:
        """Another picture has been chosen: what was painted on the one before is of no use."""
        assert self.store is not None
        chosen = chosen_picture(self.store, value, "image")
        return (gr.skip(), gr.skip()) if chosen and chosen.sha256 == painted_on else shown(self.store, chosen, None)

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
        return [*super().values(request), *self._shown_on(getattr(request, "image", None))]

    def merged(self, values: Mapping[str, Any]) -> list[Any]:
        image = values.get("image")
        image = ImageRef.model_validate(image) if image else None
        return [*super().merged(values), *self._shown_on(image)]

    def _shown_on(self, image: ImageRef | None) -> Sequence[Any]:
        if self.editor is None or self.store is None:
            return ()
        return shown(self.store, image, None) if image else (gr.skip(), gr.skip())


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
