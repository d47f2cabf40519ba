"""Safetensors files with any names and shapes and zeros for weights (holes in the file, no space on disk)."""

import json
import math
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

Shapes = Mapping[str, Sequence[int]]

SD1: Shapes = {
    "model.diffusion_model.input_blocks.0.0.weight": (320, 4, 3, 3),
    "model.diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_k.weight": (1280, 768),
    "first_stage_model.decoder.conv_in.weight": (512, 4, 3, 3),
    "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight": (8, 768),
}
SDXL: Shapes = {
    "model.diffusion_model.input_blocks.0.0.weight": (320, 4, 3, 3),
    "first_stage_model.decoder.conv_in.weight": (512, 4, 3, 3),
    "conditioner.embedders.0.transformer.text_model.embeddings.token_embedding.weight": (8, 768),
    "conditioner.embedders.1.model.token_embedding.weight": (8, 1280),
}


def write_safetensors(path: Path, shapes: Shapes) -> Path:
    entries, end = {}, 0
    for name, shape in shapes.items():
        size = 2 * math.prod(shape)
        entries[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    return write_header(path, json.dumps(entries).encode(), end)


def write_header(path: Path, header: bytes, data_bytes: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + data_bytes)
    return path


def write_json(path: Path, value: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


def write_folder(path: Path, *, class_name: str = "StableDiffusionPipeline", unet: Mapping[str, object] = {}) -> Path:  # noqa: B006
    """A diffusers folder of configs, empty weights and an empty tokenizer, native 128x128."""
    write_json(path / "model_index.json", {"_class_name": class_name})
    write_json(path / "unet/config.json", {"sample_size": 16, "in_channels": 4, **unet})
    write_json(path / "vae/config.json", {"block_out_channels": [16, 32, 64, 64]})
    write_json(path / "scheduler/scheduler_config.json", {"prediction_type": "v_prediction"})
    write_safetensors(path / "unet/diffusion_pytorch_model.safetensors", {"conv_in.weight": (16, 4, 3, 3)})
    write_safetensors(path / "vae/diffusion_pytorch_model.safetensors", {"decoder.conv_in.weight": (16, 4, 3, 3)})
    write_safetensors(path / "text_encoder/model.safetensors", {"embeddings.token_embedding.weight": (9, 4)})
    write_json(path / "tokenizer/tokenizer.json", {})
    if "XL" in class_name:
        write_json(path / "tokenizer_2/tokenizer.json", {})
        write_safetensors(path / "text_encoder_2/model.safetensors", {"text_projection.weight": (4, 4)})
    return path
