"""A VAE in a file of its own -> the loaded component. Runs in the worker."""

from typing import Any

import torch
from accelerate import init_empty_weights
from diffusers import AutoencoderKL

from pipelines.engine import single_file
from pipelines.engine.errors import VaeRefused
from pipelines.engine.out_of_memory import is_out_of_memory
from pipelines.engine.vae_files import Shapes, VaeFile, prefix_of
from pipelines.engine.weight_files import mapped

_KEPT = ("scaling_factor", "shift_factor", "latents_mean", "latents_std", "force_upcast", "norm_num_groups")


def load_vae(file: VaeFile, own: Any, dtype: torch.dtype) -> AutoencoderKL:
    """The VAE of `file` on the CPU in `dtype`, for a checkpoint whose own VAE is `own`.

    The file tells the architecture; how latents are scaled belongs to the checkpoint. The weights are copies. Raises
    `VaeRefused` and `OSError`.
    """
    tensors = mapped(file.path)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    try:
        config = {name: own.config[name] for name in _KEPT if name in own.config} | _architecture(shapes)
        with init_empty_weights():
            vae: Any = AutoencoderKL(**config)
        state = tensors if _is_diffusers(shapes) else single_file.converted("vae", vae, tensors)
        state = {name.removeprefix("vae."): tensor.to(dtype, copy=True) for name, tensor in state.items()}
        vae.load_state_dict(state, assign=True)
    except (LookupError, ValueError, RuntimeError, TypeError, AttributeError) as problem:
        if is_out_of_memory(problem):
            raise
        first = (str(problem).strip().splitlines() or [type(problem).__name__])[0]
        raise VaeRefused(file.name, f"its parts do not fit together ({first[:100]})") from problem
    return vae.eval().requires_grad_(False)


def _is_diffusers(shapes: Shapes) -> bool:
    return any("encoder.down_blocks." in name for name in shapes)


def _architecture(shapes: Shapes) -> dict[str, Any]:
    prefix = prefix_of(shapes)
    blocks, inner = ("down_blocks", "resnets") if _is_diffusers(shapes) else ("down", "block")
    config = single_file.vae_config(shapes, prefix, blocks, inner)
    middle = "mid_block.attentions." if _is_diffusers(shapes) else "mid.attn_1."
    return config | {
        "mid_block_add_attention": any(name.startswith(f"{prefix}encoder.{middle}") for name in shapes),
        "use_quant_conv": f"{prefix}quant_conv.weight" in shapes,
        "use_post_quant_conv": f"{prefix}post_quant_conv.weight" in shapes,
    }
