"""Models that make pictures larger, loaded by spandrel and held beside the checkpoints. Runs in the worker."""

from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

from pipelines.engine.picture_models import PictureModel, PictureModels


@dataclass(frozen=True, slots=True)
class Upscaler(PictureModel):
    """A model ready to make pictures larger."""

    @property
    def can_be_tiled(self) -> bool:
        return self.descriptor.tiling.name != "INTERNAL"

    def enlarge(self, picture: Image.Image, check: Callable[[], None]) -> Image.Image:
        """As `made_of`."""
        return self.made_of(picture, check)


class Upscalers(PictureModels[Upscaler]):
    build = Upscaler
    purposes = "SR", "Restoration"
