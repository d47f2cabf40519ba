"""Models that restore faces, loaded by spandrel and held beside the checkpoints. Runs in the worker."""

from dataclasses import dataclass

import torch

from pipelines.engine.picture_models import PictureModel, PictureModels

_STEADY = {"GFPGAN": {"return_rgb": False, "randomize_noise": False}, "CodeFormer": {}}
"""Architectures that spandrel hands pixels in [0, 1], though they were trained on [-1, 1], and how they are called:
with the noise that stands in the file instead of new one each time."""


@dataclass(frozen=True, slots=True)
class FaceRestorer(PictureModel):
    """A model ready to restore pictures of 512 x 512 pixels, each of one face upright in the middle (as FFHQ has
    them)."""

    def _run(self, values: torch.Tensor) -> torch.Tensor:
        options = _STEADY.get(str(self.descriptor.architecture.id))
        if options is None:
            return self.descriptor(values)
        return (self.descriptor.model(values * 2 - 1, **options)[0] + 1) / 2


class FaceRestorers(PictureModels[FaceRestorer]):
    build = FaceRestorer
    purposes = ("FaceSR",)
