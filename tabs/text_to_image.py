"""The tab that makes pictures from words."""

from collections.abc import Sequence

import gradio as gr

from pipelines.engine.jobs import Engine, ModelInfo
from presets.fields import SIDE_MAXIMUM, SIDE_MINIMUM, SIDE_STEP
from presets.hires_fields import LATENT
from presets.requests import TextToImage
from tabs import drawing, motion
from tabs.form import Form
from tabs.tab import Tab
from tabs.updates import update

PORTRAIT, LANDSCAPE = 2 / 3, 3 / 2
"""Width divided by height of the quick sizes."""


def build(engine: Engine) -> Tab:
    form = Form(TextToImage, engine.inputs)
    return Tab(form, drawing.build(engine, form, given=None, settings=None, sizes=_sizes))


def _sizes(engine: Engine, form: Form) -> None:
    """Width and height, buttons for the usual ones, a larger size to draw on in, and how the picture moves."""
    with gr.Row():
        sides = [form.widget(side, placeholder="native", min_width=100) for side in ("width", "height")]
    with gr.Row(elem_classes="quick-sizes"):
        native, portrait, landscape, swap = (
            gr.Button(text, size="sm", min_width=70, elem_id=form.element_id(f"size-{name}"))
            for name, text in _QUICK_SIZES.items()
        )
    checkpoint = form.widgets["checkpoint"]
    update(native.click, lambda: (None, None), None, sides)
    update(portrait.click, lambda name: side_lengths(engine.models(), name, PORTRAIT), checkpoint, sides)
    update(landscape.click, lambda name: side_lengths(engine.models(), name, LANDSCAPE), checkpoint, sides)
    update(swap.click, lambda width, height: (height, width), sides, sides)
    _hires(engine, form)
    motion.build(engine, form)


def _hires(engine: Engine, form: Form) -> None:
    """What is drawn on in a larger size."""
    with gr.Accordion("Hires fix", open=False, elem_id=form.element_id("hires")):
        form.widget("hires_factor")
        form.widget("hires_strength")
        with gr.Row():
            upscaler = form.widget("hires_upscaler", choices=[LATENT, *engine.upscalers()])
            form.widget("hires_sampler")
        form.widget("hires_steps")
        form.widget("hires_prompt", placeholder="the same")
    assert isinstance(upscaler, gr.Dropdown)
    update(upscaler.focus, lambda: gr.update(choices=[LATENT, *engine.upscalers()]), None, upscaler)


_QUICK_SIZES = {"native": "Native", "portrait": "Portrait", "landscape": "Landscape", "swap": "Swap ⇄"}


def side_lengths(models: Sequence[ModelInfo], name: str, ratio: float) -> tuple[int, int]:
    """(width, height) of the named checkpoint's native area at width/height `ratio`, on the grid."""
    model = next((model for model in models if model.name == name), models[0])
    area = model.native_size[0] * model.native_size[1]
    return _on_grid((area * ratio) ** 0.5), _on_grid((area / ratio) ** 0.5)


def _on_grid(length: float) -> int:
    return min(max(round(length / SIDE_STEP) * SIDE_STEP, SIDE_MINIMUM), SIDE_MAXIMUM)
