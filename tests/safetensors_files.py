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
SD2: Shapes = {
    "model.diffusion_model.input_blocks.0.0.weight": (320, 4, 3, 3),
    "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias": (320,),
    "first_stage_model.decoder.conv_in.weight": (512, 4, 3, 3),
    "cond_stage_model.model.token_embedding.weight": (8, 1024),
}
REFINER: Shapes = {
    "model.diffusion_model.input_blocks.0.0.weight": (384, 4, 3, 3),
    "first_stage_model.decoder.conv_in.weight": (512, 4, 3, 3),
    "conditioner.embedders.0.model.token_embedding.weight": (8, 1280),
}
SDXL: Shapes = {
    "model.diffusion_model.input_blocks.0.0.weight": (320, 4, 3, 3),
    "first_stage_model.decoder.conv_in.weight": (512, 4, 3, 3),
    "conditioner.embedders.0.transformer.text_model.embeddings.token_embedding.weight": (8, 768),
    "conditioner.embedders.1.model.token_embedding.weight": (8, 1280),
}


def write_safetensors(path: Path, shapes: Shapes, metadata: Mapping[str, str] = {}) -> Path:  # noqa: B006
    entries, end = {"__metadata__": dict(metadata)} if metadata else {}, 0
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
    write_json(path / "vae/config.json", {"block_out_channels": [16, 32, 64, 64]})
    write_json(path / "scheduler/scheduler_config.json", {"prediction_type": "v_prediction"})
    write_safetensors(path / "vae/diffusion_pytorch_model.safetensors", {"decoder.conv_in.weight": (16, 4, 3, 3)})
    denoiser = "transformer" if class_name.startswith(("Flux", "StableDiffusion3")) else "unet"
    channels = {} if denoiser == "transformer" else {"in_channels": 4}
    write_json(path / denoiser / "config.json", {"sample_size": 16, **channels, **unet})
    write_safetensors(path / denoiser / "diffusion_pytorch_model.safetensors", {"conv_in.weight": (16, 4, 3, 3)})
    for number in range(1, 1 + _encoders(class_name)):
        ending = f"_{number}" if number > 1 else ""
        write_safetensors(path / f"text_encoder{ending}/model.safetensors", {"token_embedding.weight": (9, 4)})
        write_json(path / f"tokenizer{ending}/tokenizer.json", {})
    return path


def _encoders(class_name: str) -> int:
    if class_name.startswith("StableDiffusion3"):
        return 3
    return 2 if "XL" in class_name or class_name.startswith("Flux") else 1
