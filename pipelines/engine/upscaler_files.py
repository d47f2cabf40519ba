"""The upscaling models on this machine: in `upscalers/` under the model roots, or in folders of the names that other
programs give theirs."""

from pipelines.engine.errors import UpscalerNotFound, UpscalerRefused
from pipelines.engine.headers import Header
from pipelines.engine.picture_model_files import PictureModelFile, PictureModelFiles
from pipelines.engine.recognition import FACE_RESTORER, is_face_restorer
from presets.upscale_fields import RESAMPLERS

DEFAULT = "storybook-x2"
"""The model that ships."""
_OTHERS = (
    ("model.diffusion_model.", "a checkpoint"),
    ("first_stage_model.", "a checkpoint or VAE"),
    ("lora_", "a LoRA"),
    ("text_model.", "a text encoder"),
    ("decoder.conv_in.", "a VAE"),
)
"""Beginnings of tensors' names that no upscaler has, and what such a file is."""


class UpscalerFiles(PictureModelFiles):
    """The upscalers there are now."""

    folders = ("upscalers", "upscale_models", "ESRGAN", "RealESRGAN", "SwinIR", "DAT")
    missing, refused = UpscalerNotFound, UpscalerRefused

    def names(self) -> tuple[str, ...]:
        """The models that can be used as far as their headers tell, the one that ships first, then plain resampling."""
        return (*sorted(self.usable(), key=lambda name: name != DEFAULT), *RESAMPLERS)

    def listed(self, name: str) -> str:
        """The listed name of the model or way of resampling that `name` means; "" is the model that ships.

        Raises as `find` does.
        """
        wanted = name.strip().lower()
        return wanted if wanted in RESAMPLERS else self.find(name).name

    def find(self, name: str) -> PictureModelFile:
        return super().find(name or DEFAULT)

    def objection(self, header: Header) -> str:
        if is_face_restorer(header):
            return f"it is {': '.join(FACE_RESTORER)}"
        return next((f"it is {what}, no upscaler" for beginning, what in _OTHERS if header.has(beginning)), "")

    def _others(self) -> tuple[str, ...]:
        return RESAMPLERS
