"""The result side of a tab that changes a given picture without redrawing it: before and after, under a slider."""

from typing import Any

import gradio as gr
from gradio.blocks import Block

from presets.images import ImageMissing
from presets.inputs import Inputs
from presets.request import FromPicture
from tabs.form import Form
from tabs.output import Output, Pictures, Updates

SLIDER_HEIGHT = 640


class Comparison(Output):
    """As `Output`; finished pictures are shown in `slider` over the one that was given, which `inputs` keeps."""

    def __init__(self, form: Form, inputs: Inputs):
        self._inputs = inputs
        self.slider = gr.ImageSlider(
            label="Before and after",
            show_label=False,
            container=False,
            type="filepath",
            format="png",
            max_height=SLIDER_HEIGHT,
            visible=False,
            interactive=False,
            buttons=["fullscreen"],
            elem_id=form.element_id("slider"),
        )
        super().__init__(form)

    @property
    def components(self) -> list[Block]:
        return [*super().components, self.slider]

    def shown(self, pictures: Pictures, index: int) -> Updates:
        return {**super().shown(pictures, index), self.slider: self._compared(pictures, index)}

    def _compared(self, pictures: Pictures, index: int) -> Any:
        """Both pictures; none where the one given is kept no more, and the stage shows the other."""
        request = pictures[index].request
        try:
            before = self._inputs.open(request.image) if isinstance(request, FromPicture) else None
        except ImageMissing:
            before = None
        if before is None:
            return gr.update(visible=False, value=None)
        return gr.update(visible=True, value=(before, str(pictures[index].path)))

    def stage_of(self, pictures: Pictures, index: int) -> str:
        """Nothing where the slider shows the picture."""
        whole = super().stage_of(pictures, index)
        if index >= len(pictures) or self._compared(pictures, index)["visible"] is False:
            return whole
        return ""
