"""The trained parts as an ordinary diffusers folder in float16."""

import copy
import json
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL, ModelMixin, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from training.parts import new_scheduler

PREVIEW_SCENES = 64
"""Enough for the least squares of the preview map."""


def assemble(
    autoencoder: AutoencoderKL, text_encoder: CLIPTextModel, unet: UNet2DConditionModel, tokenizer: CLIPTokenizer
) -> StableDiffusionPipeline:
    """An ordinary Stable Diffusion pipeline of the parts."""
    return StableDiffusionPipeline(
        vae=autoencoder,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=new_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def export(pipeline: StableDiffusionPipeline, latents: torch.Tensor, pixels: torch.Tensor, folder: Path) -> None:
    """Write `pipeline` as float16 safetensors with the preview map; what else lies in `folder` (the card) stays.

    `latents` (not yet scaled) are those of `pixels`.
    """
    fresh = folder.with_name(folder.name + ".part")
    shutil.rmtree(fresh, ignore_errors=True)
    pipeline.to(torch.float16).save_pretrained(fresh, safe_serialization=True)
    for config in (fresh / "model_index.json", *fresh.glob("*/config.json")):
        _tidy(config)
    (fresh / "preview.json").write_text(
        json.dumps(preview_map(latents * pipeline.vae.config.scaling_factor, pixels), indent=2) + "\n"
    )
    for part in fresh.iterdir():
        old = folder / part.name
        shutil.rmtree(old, ignore_errors=True)
        old.unlink(missing_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        part.replace(old)
    fresh.rmdir()


def export_beside(component: ModelMixin, folder: Path) -> None:
    """A copy of `component`, which is used beside a checkpoint, as a diffusers folder in float16."""
    copy.deepcopy(component).half().save_pretrained(folder, safe_serialization=True)
    _tidy(folder / "config.json")


def _tidy(config: Path) -> None:
    """Take out where the part was once loaded from. transformers loads in the precision that the config names,
    diffusers in float32: name the same one."""
    values = json.loads(config.read_text())
    values.pop("_name_or_path", None)
    if "dtype" in values:
        values["dtype"] = "float32"
    config.write_text(json.dumps(values, indent=2) + "\n")


def preview_map(latents: torch.Tensor, pixels: torch.Tensor) -> dict[str, object]:
    """Least squares from scaled latents (number, 4, side, side) to the pixels (number, 3, 8 * side, 8 * side), 8 times
    smaller, in [-1, 1]."""
    small = torch.nn.functional.avg_pool2d(pixels, 8).permute(0, 2, 3, 1).reshape(-1, 3)
    inputs = latents.permute(0, 2, 3, 1).reshape(-1, 4)
    inputs = torch.cat([inputs, torch.ones(len(inputs), 1)], dim=1)
    solution = torch.linalg.lstsq(inputs, small).solution
    rounded = [[round(value, 5) for value in row] for row in solution.tolist()]
    return {"matrix": rounded[:4], "bias": rounded[4]}
