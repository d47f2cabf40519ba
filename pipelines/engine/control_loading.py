"""A control model's file -> the loaded component, without internet. Runs in the worker.

What a file's shapes do not tell is as in the UNet that the model is for: it was made of a copy of such a one.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import diffusers
import torch
from accelerate import init_empty_weights
from diffusers import ControlNetModel, ControlNetUnionModel, T2IAdapter
from diffusers.loaders import single_file_utils as diffusers_names
from safetensors import SafetensorError

from pipelines.engine.control_files import ControlFile, Shapes, plain_names, squares_of
from pipelines.engine.errors import ControlFamily, ControlUnusable
from pipelines.engine.headers import BrokenFile
from pipelines.engine.out_of_memory import is_out_of_memory
from pipelines.engine.pickles import UnsafeFile
from pipelines.engine.single_file import count
from pipelines.engine.weight_files import mapped

Tensors = Mapping[str, torch.Tensor]

_TORN = (BrokenFile, UnsafeFile, SafetensorError, KeyError, ValueError, RuntimeError, TypeError, IndexError)
"""What is raised for files whose content does not fit together."""
_AS_THE_UNET = (
    "flip_sin_to_cos", "freq_shift", "act_fn", "norm_num_groups", "norm_eps", "cross_attention_dim",
    "attention_head_dim", "num_attention_heads", "addition_time_embed_dim", "resnet_time_scale_shift",
)  # fmt: skip
_CLASSES: Mapping[str, Any] = {
    "ControlNet": ControlNetModel,
    "ControlNet union": ControlNetUnionModel,
    "T2I-Adapter": T2IAdapter,
}


def load_control(file: ControlFile, unet: Any, dtype: torch.dtype) -> Any:
    """The model of `file` on the CPU in `dtype`, for a checkpoint whose UNet is `unet`. The weights are copies.

    Raises `ControlFamily` where their levels differ, `ControlUnusable` and `OSError`.
    """
    try:
        tensors = mapped(file.path)
        shapes = plain_names({name: tuple(tensor.shape) for name, tensor in tensors.items()})
        config = _config(file, shapes, unet)
        _check_levels(file, config, unet)
        with init_empty_weights():
            model: Any = _CLASSES[file.kind].from_config(config)
        state = _state(file, shapes, tensors, config)
        copies = {name: state[name].to(dtype, copy=True) for name in model.state_dict()}
        model.load_state_dict(copies, assign=True)
    except _TORN as problem:
        if is_out_of_memory(problem):
            raise
        first = (str(problem).strip().splitlines() or [type(problem).__name__])[0]
        raise ControlUnusable(file.name, f"its parts do not fit together ({first[:100]})") from problem
    return model.eval().requires_grad_(False)


def _check_levels(file: ControlFile, config: Mapping[str, Any], unet: Any) -> None:
    """A file's first layer may fit where what follows does not."""
    own = list(config["channels" if file.kind == "T2I-Adapter" else "block_out_channels"])
    wanted = list(unet.config["block_out_channels"])
    if own != wanted and not (file.kind == "T2I-Adapter" and config.get("adapter_type") == "light_adapter"):
        raise ControlFamily(file.name, f"was made for a UNet of {own} channels, and the checkpoint's has {wanted}")


def _config(file: ControlFile, shapes: Shapes, unet: Any) -> dict[str, Any]:
    if file.config is not None:
        told = json.loads(file.config.read_text(encoding="utf-8"))
        if getattr(diffusers, str(told.get("_class_name")), None) is _CLASSES[file.kind]:
            return told
    if file.kind == "T2I-Adapter":
        return _adapter_config(shapes)
    shared = {name: unet.config[name] for name in _AS_THE_UNET}
    own = _original_config(shapes) if _is_original(shapes) else _diffusers_config(shapes)
    return shared | own | (_union_config(shapes) if file.kind == "ControlNet union" else {})


def _state(file: ControlFile, shapes: Shapes, tensors: Tensors, config: Mapping[str, Any]) -> Tensors:
    """`tensors` under the names that diffusers has for them."""
    if file.kind == "T2I-Adapter":
        return _adapter_state(tensors)
    return diffusers_names.convert_controlnet_checkpoint(dict(tensors), config) if _is_original(shapes) else tensors


def _is_original(shapes: Shapes) -> bool:
    return "input_hint_block.0.weight" in shapes


def _diffusers_config(shapes: Shapes) -> dict[str, Any]:
    levels = count(shapes, "down_blocks.")
    hint = "controlnet_cond_embedding."
    hints = [shapes[f"{hint}blocks.{index}.weight"][0] for index in range(1, count(shapes, f"{hint}blocks."), 2)]
    return _described(
        shapes,
        first="conv_in.weight",
        widths=[shapes[f"down_blocks.{level}.resnets.0.conv1.weight"][0] for level in range(levels)],
        layers=count(shapes, "down_blocks.0.resnets."),
        attention=lambda level: f"down_blocks.{level}.attentions.0.",
        middle="mid_block.attentions.0.",
    ) | {
        "conditioning_channels": shapes[f"{hint}conv_in.weight"][1],
        "conditioning_embedding_out_channels": [shapes[f"{hint}conv_in.weight"][0], *hints],
    }


def _original_config(shapes: Shapes) -> dict[str, Any]:
    blocks = count(shapes, "input_blocks.")
    downs = [index for index in range(blocks) if f"input_blocks.{index}.0.op.weight" in shapes]
    layers = (downs[0] if downs else blocks) - 1
    starts = list(range(1, blocks, layers + 1))
    hints = [shapes[f"input_hint_block.{index}.weight"][0] for index in (0, 4, 8, 12)]
    return _described(
        shapes,
        first="input_blocks.0.0.weight",
        widths=[shapes[f"input_blocks.{start}.0.out_layers.3.weight"][0] for start in starts],
        layers=layers,
        attention=lambda level: f"input_blocks.{starts[level]}.1.",
        middle="middle_block.1.",
    ) | {
        "conditioning_channels": shapes["input_hint_block.0.weight"][1],
        "conditioning_embedding_out_channels": hints,
    }


def _described(
    shapes: Shapes, *, first: str, widths: list[int], layers: int, attention: Callable[[int], str], middle: str
) -> dict[str, Any]:
    """What both layouts tell; `attention` gives the beginning of the names in a level's first layer of it."""
    depths = [count(shapes, f"{attention(level)}transformer_blocks.") for level in range(len(widths))]
    middle_depth = count(shapes, f"{middle}transformer_blocks.")
    config: dict[str, Any] = {
        "in_channels": shapes[first][1],
        "block_out_channels": widths,
        "layers_per_block": layers,
        "down_block_types": ["CrossAttnDownBlock2D" if depth else "DownBlock2D" for depth in depths],
        "transformer_layers_per_block": [depth or 1 for depth in depths[:-1]] + [depths[-1] or middle_depth or 1],
    }
    if middle_depth:
        config["use_linear_projection"] = len(shapes[f"{middle}proj_in.weight"]) == 2
    else:
        config["mid_block_type"] = "UNetMidBlock2D"
    pooled = shapes.get("add_embedding.linear_1.weight")
    if pooled:
        config |= {"addition_embed_type": "text_time", "projection_class_embeddings_input_dim": pooled[1]}
    return config


def _union_config(shapes: Shapes) -> dict[str, Any]:
    kinds, width = shapes["task_embedding"]
    return {
        "num_control_type": kinds,
        "num_trans_channel": width,
        "num_trans_layer": count(shapes, "transformer_layes."),
        "num_proj_channel": shapes["spatial_ch_projs.weight"][0],
    }


def _adapter_config(shapes: Shapes) -> dict[str, Any]:
    """Of an adapter in either layout: the original has its blocks in one row, diffusers has them in levels."""
    colours, side = squares_of(shapes)
    names = _adapter_names(shapes)
    levels, is_light = count(names, "adapter.body."), "conv_in.weight" not in shapes
    ends = "out_conv" if is_light else "resnets.0.block1"
    widths = [shapes[names[f"adapter.body.{level}.{ends}.weight"]][0] for level in range(levels)]
    return {
        "in_channels": colours,
        "channels": widths[:-1] if is_light else widths,
        "num_res_blocks": count(names, "adapter.body.0.resnets."),
        "downscale_factor": side,
        "adapter_type": "light_adapter" if is_light else "full_adapter" if side == 8 else "full_adapter_xl",
    }


_ORIGINAL_BLOCK = re.compile(r"body\.(?P<block>\d+)\.(?P<part>block[12]|in_conv)\.(?P<end>.+)")
_ORIGINAL_LIGHT = re.compile(r"body\.(?P<level>\d+)\.body\.(?P<block>\d+)\.(?P<end>.+)")
_ORIGINAL_BLOCKS = 2
"""In each level of an adapter in the original layout."""


def _adapter_names(shapes: Shapes) -> dict[str, str]:
    """diffusers' names -> those in `shapes`, which have no `adapter.` before them."""
    return {f"adapter.{_adapter_name(name)}": name for name in shapes}


def _adapter_name(name: str) -> str:
    if block := _ORIGINAL_BLOCK.fullmatch(name):
        level, inner = divmod(int(block["block"]), _ORIGINAL_BLOCKS)
        part = f"resnets.{inner}.{block['part']}" if block["part"] != "in_conv" else "in_conv"
        return f"body.{level}.{part}.{block['end']}"
    if light := _ORIGINAL_LIGHT.fullmatch(name):
        return f"body.{light['level']}.resnets.{light['block']}.{light['end']}"
    return name


def _adapter_state(tensors: Tensors) -> Tensors:
    if any(name.startswith("adapter.") for name in tensors):
        return tensors
    return {f"adapter.{_adapter_name(name)}": tensor for name, tensor in tensors.items()}
