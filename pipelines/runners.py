"""The only list of tasks: kind of request -> the function that does it."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from pipelines import control_picture, controlnet, image_to_image, inpaint, text_to_image, together, upscale
from pipelines.engine.context import Context
from presets.control_picture import ControlPicture
from presets.request import Request
from presets.requests import ControlNet, ImageToImage, Inpaint, TextToImage
from presets.upscale import Upscale

RUNNERS: Mapping[type[Request], Callable[[Any, Context], None]] = MappingProxyType(
    {
        TextToImage: text_to_image.run,
        ImageToImage: image_to_image.run,
        Inpaint: inpaint.run,
        ControlPicture: control_picture.run,
        ControlNet: controlnet.run,
        Upscale: upscale.run,
    }
)

TOGETHER: Mapping[type[Request], Callable[[Any, Any, Any], bool]] = MappingProxyType(
    {TextToImage: together.draw_together}
)
"""Kind of request -> the function that does several of one `batch_key` at once."""
