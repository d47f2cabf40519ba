"""Checkpoints with random weights: as large and as slow as real ones, without a download."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from pipelines.engine.families import CONFIGS, FAMILIES

RANK = 16
TARGETS = (".to_q", ".to_k", ".to_v", ".to_out.0", "ff.net.0.proj", "ff.net.2", "proj_in", "proj_out")
TARGETS += ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")
"""Ends of the modules that a random LoRA changes: all projections of attention, as kohya's trainer has it."""

_SMALL_ENCODER = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
_SMALL = {
    "sd1": {
        "unet": {"block_out_channels": [32, 64, 64, 64], "cross_attention_dim": 64},
        "vae": {"block_out_channels": [32, 32, 32, 32]},
        "text_encoder": _SMALL_ENCODER,
    },
    "sdxl": {
        "unet": {
            "block_out_channels": [32, 64, 64],
            "attention_head_dim": [2, 4, 4],
            "transformer_layers_per_block": [1, 1, 1],
            "cross_attention_dim": 128,
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 64 + 6 * 8,
        },
        "vae": {"block_out_channels": [32, 32, 32, 32]},
        "text_encoder": _SMALL_ENCODER,
        "text_encoder_2": _SMALL_ENCODER | {"projection_dim": 64},
    },
}


def random_sd1(*, small: bool = False, seed: int = 0) -> StableDiffusionPipeline:
    """Stable Diffusion 1.5 by its real configs in float32, 1.07 billion numbers; with `small` about 5 million."""
    torch.manual_seed(seed)
    pipeline_class: Any = StableDiffusionPipeline
    return pipeline_class(
        vae=AutoencoderKL.from_config(_config("sd1", "vae", small)),
        text_encoder=CLIPTextModel(CLIPTextConfig(**_config("sd1", "text_encoder", small))),
        tokenizer=CLIPTokenizer.from_pretrained(CONFIGS / "clip", local_files_only=True),
        unet=UNet2DConditionModel.from_config(_config("sd1", "unet", small)),
        scheduler=DDIMScheduler.from_config(_config("sd1", "scheduler", False)),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def random_sdxl(*, small: bool = False, seed: int = 0) -> StableDiffusionXLPipeline:
    """Stable Diffusion XL by its real configs in float32, 3.5 billion numbers; with `small` about 3 million."""
    torch.manual_seed(seed)
    pipeline_class: Any = StableDiffusionXLPipeline
    return pipeline_class(
        vae=AutoencoderKL.from_config(_config("sdxl", "vae", small)),
        text_encoder=CLIPTextModel(CLIPTextConfig(**_config("sdxl", "text_encoder", small))),
        text_encoder_2=CLIPTextModelWithProjection(CLIPTextConfig(**_config("sdxl", "text_encoder_2", small))),
        tokenizer=CLIPTokenizer.from_pretrained(CONFIGS / "clip", local_files_only=True),
        tokenizer_2=CLIPTokenizer.from_pretrained(CONFIGS / "clip", local_files_only=True, pad_token="!"),
        unet=UNet2DConditionModel.from_config(_config("sdxl", "unet", small)),
        scheduler=EulerDiscreteScheduler.from_config(_config("sdxl", "scheduler", False)),
        add_watermarker=False,
    )


def save_random_lora(path: Path, components: Mapping[str, Any]) -> None:
    """A kohya file of rank `RANK` over all projections of attention in `components`, which are by the beginning of
    their keys."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {}
    for prefix, component in components.items():
        for name, module in component.named_modules():
            if name.endswith(TARGETS):
                rows, columns, *kernel = module.weight.shape
                layer = prefix + name.removeprefix("text_model.").replace(".", "_")
                tensors[f"{layer}.lora_up.weight"] = (torch.randn(rows, RANK, *kernel) * 0.02).half()
                tensors[f"{layer}.lora_down.weight"] = (torch.randn(RANK, columns, *kernel) * 0.02).half()
                tensors[f"{layer}.alpha"] = torch.tensor(8.0).half()
    save_file(tensors, path)


def _config(family: str, part: str, small: bool) -> dict:
    file = FAMILIES[family].configs / part / ("scheduler_config.json" if part == "scheduler" else "config.json")
    return json.loads(file.read_text(encoding="utf-8")) | (_SMALL[family].get(part, {}) if small else {})
