"""Stable Diffusion's safety checker: a CLIP that compares pictures with what is not to be shown. Runs in the worker.

Its weights are given by the person (`FOLDER`), as those of Stable Diffusion 1.x come with them; there is no download.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors import SafetensorError

from pipelines.engine.errors import Withheld
from presets.errors import UserError, reason_of

FOLDER = "safety_checker"
FILES = ("config.json", "model.safetensors")


class SafetyChecker:
    """On the CPU in float32, beside the budgets for models."""

    def __init__(self, roots: Sequence[Path]):
        """Weights from `FOLDER` in the first of `roots` that has it. Raises `UserError` where they cannot be used."""
        from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
        from transformers import CLIPImageProcessor

        folder = _folder_in(roots)
        checker: Any = StableDiffusionSafetyChecker
        try:
            self._model = checker.from_pretrained(folder, local_files_only=True, use_safetensors=True).float().eval()
        except (OSError, ValueError, RuntimeError, SafetensorError) as problem:
            reason = reason_of(problem) if isinstance(problem, OSError) else str(problem).splitlines()[0][:200]
            raise _unusable(f"its weights in {folder} cannot be read: {reason}") from None
        side = self._model.config.vision_config.image_size
        self._processor: Any = CLIPImageProcessor(
            size={"shortest_edge": side}, crop_size={"height": side, "width": side}
        )

    @torch.inference_mode()
    def check(self, image: Image.Image, number: int) -> None:
        """Raise `Withheld` where picture `number`, from 1, is not to be shown."""
        pixels = self._processor(image.convert("RGB"), return_tensors="pt").pixel_values
        _, found = self._model(pixels, [torch.zeros(1)])
        if found[0]:
            raise Withheld(number)


def _folder_in(roots: Sequence[Path]) -> Path:
    folders = [root / FOLDER for root in roots]
    found = next((folder for folder in folders if all((folder / file).is_file() for file in FILES)), None)
    if found is None:
        raise _unusable(f"{' and '.join(FILES)} of a Stable Diffusion safety checker belong into {folders[0]}")
    return found


def _unusable(reason: str) -> UserError:
    return UserError(f"The safety checker is switched on but cannot work: {reason}.", code="E-SETTINGS")
