"""Small motion modules for the starter's UNet, as files."""

from pathlib import Path
from typing import Any

import torch
from diffusers import MotionAdapter
from safetensors.torch import save_file


def tiny_motion(unet: Any, *, still: bool = False, frames: int = 8) -> MotionAdapter:
    """With random weights; one that is `still` leaves every frame as it would be without."""
    torch.manual_seed(0)
    module = MotionAdapter(
        block_out_channels=tuple(unet.config.block_out_channels),
        motion_layers_per_block=unet.config.layers_per_block,
        motion_max_seq_length=frames,
        motion_norm_num_groups=unet.config.norm_num_groups,
    )
    if still:
        for name, weight in module.named_parameters():
            if ".proj_out." in name:
                weight.data.zero_()
    return module.eval()


def save_motion(module: MotionAdapter, path: Path) -> None:
    """In AnimateDiff's own layout, as `<path>`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({original_name(name): value.contiguous() for name, value in module.state_dict().items()}, path)


def original_name(name: str) -> str:
    """The name that AnimateDiff's own program has for a tensor of diffusers'."""
    head, mark, rest = name.partition(".transformer_blocks.")
    if not mark:
        for part in (".norm.", ".proj_in.", ".proj_out."):
            name = name.replace(part, f".temporal_transformer{part}")
        return name
    for own, other in (
        ("norm1", "norms.0"),
        ("norm2", "norms.1"),
        ("norm3", "ff_norm"),
        ("attn1", "attention_blocks.0"),
    ):
        rest = rest.replace(own, other)
    rest = rest.replace("attn2", "attention_blocks.1").replace("pos_embed.pe", "attention_blocks.0.pos_encoder.pe")
    return f"{head}.temporal_transformer{mark}{rest}"
