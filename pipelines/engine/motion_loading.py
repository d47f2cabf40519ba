"""A motion module's file -> the loaded component, and the UNet that it moves. Runs in the worker, without internet."""

import json
from collections.abc import Mapping
from typing import Any

import torch
from accelerate import init_empty_weights
from diffusers import MotionAdapter, UNetMotionModel
from diffusers.loaders import single_file_utils as diffusers_names
from safetensors import SafetensorError

from pipelines.engine.errors import MotionFamily, MotionUnusable
from pipelines.engine.headers import BrokenFile
from pipelines.engine.motion_files import MotionFile, plain
from pipelines.engine.out_of_memory import is_out_of_memory
from pipelines.engine.pickles import UnsafeFile
from pipelines.engine.single_file import count
from pipelines.engine.weight_files import mapped

_TORN = (BrokenFile, UnsafeFile, SafetensorError, KeyError, ValueError, RuntimeError, TypeError, IndexError)
"""What is raised for files whose content does not fit together."""
_HEADS = 8
"""Of all AnimateDiff modules; no shape tells them."""
_PLACES = "pos_embed.pe"
"""Where in time a frame is: computed, and the same in all files that hold it."""


def load_motion(file: MotionFile, dtype: torch.dtype) -> Any:
    """The module of `file` on the CPU in `dtype`. The weights are copies. Raises `MotionUnusable` and `OSError`."""
    try:
        state = {plain(name): tensor for name, tensor in mapped(file.path).items()}
        if file.layout == "original":
            state = diffusers_names.convert_animatediff_checkpoint_to_diffusers(state)
        config = _config(file, state)
        with init_empty_weights():
            module: Any = MotionAdapter.from_config(config)
        own = module.state_dict()
        if strange := state.keys() - own.keys():
            raise KeyError(sorted(strange)[0])
        places = {name: tensor for name, tensor in own.items() if name.endswith(_PLACES)}
        known = {**places, **{name: tensor for name, tensor in state.items() if name not in places}}
        copies = {name: known[name].to(dtype, copy=True) for name in own}
        module.load_state_dict(copies, assign=True)
    except _TORN as problem:
        if is_out_of_memory(problem):
            raise
        first = (str(problem).strip().splitlines() or [type(problem).__name__])[0]
        raise MotionUnusable(file.name, f"its parts do not fit together ({first[:100]})") from problem
    return module.eval().requires_grad_(False)


def _config(file: MotionFile, state: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    if file.config is not None:
        told = json.loads(file.config.read_text(encoding="utf-8"))
        if told.get("_class_name") == MotionAdapter.__name__:
            return told
    return {
        "block_out_channels": list(file.widths),
        "motion_layers_per_block": count(state, "down_blocks.0.motion_modules."),
        "motion_transformer_layers_per_block": count(state, "down_blocks.0.motion_modules.0.transformer_blocks."),
        "motion_num_attention_heads": _HEADS,
        "motion_max_seq_length": file.frames,
        "use_motion_mid_block": any(name.startswith("mid_block.") for name in state),
    }


def moving(unet: Any, module: Any, name: str) -> Any:
    """The UNet that draws frames together: made of the very modules of `unet` and of `module`, whose name is `name`, so
    that it has no weights of its own. Raises `MotionFamily` where their levels differ."""
    own, wanted = list(module.config.block_out_channels), list(unet.config.block_out_channels)
    if own != wanted:
        raise MotionFamily(f"{name} was made for a UNet of {own} channels, and the checkpoint's has {wanted}")
    try:
        with init_empty_weights():
            moved: Any = UNetMotionModel.from_unet2d(unet, module, load_weights=False)
        for part in _WHOLE:
            setattr(moved, part, getattr(unet, part, None))
        for side in ("down_blocks", "up_blocks"):
            for block, still, motion in zip(
                getattr(moved, side), getattr(unet, side), getattr(module, side), strict=True
            ):
                _put_together(block, still, motion)
        if module.mid_block is None:
            moved.mid_block = unet.mid_block
        else:
            _put_together(moved.mid_block, unet.mid_block, module.mid_block)
    except (ValueError, RuntimeError, AttributeError) as problem:
        raise MotionFamily(f"{name} cannot move this checkpoint's UNet ({str(problem)[:100]})") from problem
    return moved.eval().requires_grad_(False)


_WHOLE = (
    "conv_in", "time_proj", "time_embedding", "add_time_proj", "add_embedding", "encoder_hid_proj", "conv_norm_out",
    "conv_act", "conv_out",
)  # fmt: skip
_PARTS = ("resnets", "attentions", "downsamplers", "upsamplers")


def _put_together(block: Any, still: Any, motion: Any) -> None:
    """Have `block` be of the parts of a block of each."""
    for part in _PARTS:
        if getattr(still, part, None) is not None:
            if len(getattr(block, part)) != len(getattr(still, part)):
                raise ValueError(f"it has another number of {part}")
            setattr(block, part, getattr(still, part))
    if len(block.motion_modules) != len(motion.motion_modules):
        raise ValueError("it has another number of layers")
    block.motion_modules = motion.motion_modules
