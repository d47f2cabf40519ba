"""Checkpoints with random weights: as large and as slow as real ones, without a download."""

import json
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from pipelines.engine.families import CONFIGS, FAMILIES

_SMALL = {
    "unet": {"block_out_channels": [32, 64, 64, 64], "cross_attention_dim": 64},
    "vae": {"block_out_channels": [32, 32, 32, 32]},
    "text_encoder": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2},
}


def random_sd1(*, small: bool = False, seed: int = 0) -> StableDiffusionPipeline:
    """Stable Diffusion 1.5 by its real configs in float32, 1.07 billion numbers; with `small` about 5 million."""
    torch.manual_seed(seed)
    pipeline_class: Any = StableDiffusionPipeline
    return pipeline_class(
        vae=AutoencoderKL.from_config(_config("vae", small)),
        text_encoder=CLIPTextModel(CLIPTextConfig(**_config("text_encoder", small))),
        tokenizer=CLIPTokenizer.from_pretrained(CONFIGS / "clip", local_files_only=True),
        unet=UNet2DConditionModel.from_config(_config("unet", small)),
        scheduler=DDIMScheduler.from_config(_config("scheduler", False)),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _config(part: str, small: bool) -> dict:
    file = FAMILIES["sd1"].configs / part / ("scheduler_config.json" if part == "scheduler" else "config.json")
    return json.loads(file.read_text(encoding="utf-8")) | (_SMALL.get(part, {}) if small else {})
