"""The result side of a tab that changes a given picture without redrawing it: before and after, under a slider."""

import gradio as gr
from gradio.blocks import Block
from PIL import Image

from presets.images import ImageMissing, ImageRef
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
        before = self._before(pictures, index)
        if before is None:
            slider = gr.update(visible=False, value=None)
        else:
            size = pictures[index].request.picture_size  # a slider lays pictures of one size over each other
            stretched = self._inputs.open(before).resize(size, Image.Resampling.BILINEAR)
            slider = gr.update(visible=True, value=(stretched, str(pictures[index].path)))
        return {**super().shown(pictures, index), self.slider: slider}

    def stage_of(self, pictures: Pictures, index: int) -> str:
        """Nothing where the slider shows the picture."""
        return "" if self._before(pictures, index) else super().stage_of(pictures, index)

    def _before(self, pictures: Pictures, index: int) -> ImageRef | None:
        """What picture `index` was made of; None where there is none, or it is kept no more."""
        request = pictures[index].request if index < len(pictures) else None
        if not isinstance(request, FromPicture):
            return None
        try:
            self._inputs.check(request.image)
        except ImageMissing:
            return None
        return request.image
