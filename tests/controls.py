"""Tiny control models of the real architectures with random weights, and their files."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from diffusers import ControlNetModel, ControlNetUnionModel, T2IAdapter
from safetensors.torch import save_file

from tests.checkpoints import Tensors, original_unet

READS_HALF = (8, 16)
"""Channels that read a control picture at half its side, as the tiny checkpoints' latents are."""


def tiny_control(unet: Any, seed: int = 7, embedding: tuple[int, ...] = READS_HALF) -> ControlNetModel:
    """A ControlNet for `unet` that says something: its last layers are not zero as they begin."""
    torch.manual_seed(seed)
    control = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=embedding)
    return _loud(control).to(unet.dtype).eval()


def tiny_union(unet: Any, kinds: int = 6, seed: int = 7) -> ControlNetUnionModel:
    torch.manual_seed(seed)
    own = ("block_out_channels", "layers_per_block", "down_block_types", "cross_attention_dim", "attention_head_dim")
    more = ("transformer_layers_per_block", "use_linear_projection", "addition_embed_type", "addition_time_embed_dim")
    config = {name: unet.config[name] for name in (*own, *more, "projection_class_embeddings_input_dim")}
    union = ControlNetUnionModel(
        **config,
        conditioning_embedding_out_channels=READS_HALF,
        num_control_type=kinds,
        num_trans_channel=unet.config.block_out_channels[0],
        num_proj_channel=unet.config.block_out_channels[0],
    )
    return _loud(union).to(unet.dtype).eval()


def tiny_adapter(unet: Any, kind: str = "full_adapter", side: int = 8, seed: int = 7) -> T2IAdapter:
    torch.manual_seed(seed)
    channels = list(unet.config.block_out_channels)
    return T2IAdapter(3, channels, 2, side, kind).to(unet.dtype).eval()


def _loud(control: Any) -> Any:
    for name, parameter in control.named_parameters():
        if name.startswith(("controlnet_down_blocks", "controlnet_mid_block", "controlnet_cond_embedding.conv_out")):
            torch.nn.init.normal_(parameter, std=0.1)
    return control


def save_control(control: Any, path: Path, prefix: str | None = None) -> Path:
    """In one file: in diffusers' names, or with a `prefix` in the original layout."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = control.state_dict()
    if prefix is not None:
        own = original_adapter(tensors) if isinstance(control, T2IAdapter) else original_control(control)
        tensors = {prefix + name: tensor for name, tensor in own.items()}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return path


def original_control(control: ControlNetModel) -> Tensors:
    state = control.state_dict()
    copied = {name: tensor for name, tensor in state.items() if not name.startswith("controlnet_")}
    config = {**control.config, "up_block_types": ()}
    like_unet = original_unet(SimpleNamespace(config=config, state_dict=lambda: copied))  # pyright: ignore
    names = {name.removeprefix("model.diffusion_model."): tensor for name, tensor in like_unet.items()}
    return names | {_original_name(name): tensor for name, tensor in state.items() if name not in copied}


def _original_name(name: str) -> str:
    name = name.replace("controlnet_mid_block.", "middle_block_out.0.")
    name = re.sub(r"controlnet_down_blocks\.(\d+)\.", r"zero_convs.\1.0.", name)
    hint = name.replace("controlnet_cond_embedding.conv_in.", "input_hint_block.0.")
    hint = hint.replace("controlnet_cond_embedding.conv_out.", "input_hint_block.14.")
    places = r"controlnet_cond_embedding\.blocks\.(\d+)\."
    return re.sub(places, lambda match: f"input_hint_block.{2 * int(match[1]) + 2}.", hint)


def original_adapter(state: Tensors) -> Tensors:
    """Blocks of two in one row instead of in levels."""
    names = {name: name.removeprefix("adapter.") for name in state}
    resnet = r"body\.(\d+)\.resnets\.(\d+)\."
    names = {
        name: re.sub(resnet, lambda match: f"body.{2 * int(match[1]) + int(match[2])}.", own)
        for name, own in names.items()
    }
    return {
        re.sub(r"body\.(\d+)\.in_conv\.", lambda match: f"body.{2 * int(match[1])}.in_conv.", own): state[name]
        for name, own in names.items()
    }
