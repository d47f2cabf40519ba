"""Checkpoints in one file, in the original key layout (LDM for SD 1.x and 2.x, SGM for SDXL), without internet.

The family's base config says what cannot be seen in the file; whatever the shapes tell (widths, depths, layers) is
taken from them, so that variants and tiny models load too. Keys are converted by diffusers' own functions.
"""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pipelines.engine.families import Family, Prediction
from pipelines.engine.recognition import UNET, VAE

Shapes = Mapping[str, tuple[int, ...]]

TEXT_PREFIXES = {
    "sd1": {"text_encoder": "cond_stage_model.transformer."},
    "sd2": {"text_encoder": "cond_stage_model.model."},
    "sdxl": {
        "text_encoder": "conditioner.embedders.0.transformer.",
        "text_encoder_2": "conditioner.embedders.1.model.",
    },
    "sdxl-refiner": {"text_encoder_2": "conditioner.embedders.0.model."},
}
"""Family -> part -> what the names of its tensors begin with. Those that end in `model.` are open_clip's."""
HEAD_WIDTH = 64
"""Of the UNets from SD 2.x on; those of SD 1.x have eight heads whatever their width."""
CLIP_HEAD_WIDTH = 64
TIME_IDS = {"sdxl": 6, "sdxl-refiner": 5}
"""How many numbers about sizes, crops and (the refiner) beauty are embedded beside the pooled text."""


def component_config(family: Family, part: str, shapes: Shapes) -> dict[str, Any]:
    """The config of "unet", "vae", "text_encoder" or "text_encoder_2" of a file with these tensors.

    Raises `KeyError` where a tensor that every such file has is missing.
    """
    base = base_config(family.configs / part / "config.json")
    if part == "unet":
        return base | _unet_config(family, shapes)
    if part == "vae":
        return base | vae_config(shapes, VAE)
    prefix = TEXT_PREFIXES[family.name][part]
    if not _is_open_clip(prefix):
        return base | _clip_config(prefix, shapes)
    config = _open_clip_config(prefix, shapes)
    if family.name == "sd2":
        config["num_hidden_layers"] -= 1  # it reads the last layer but one
    return base | config


def base_config(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def scheduler_config(family: Family, names: Mapping[str, Any], prediction: Prediction = "epsilon") -> dict[str, Any]:
    """The family's scheduler for what the model predicts; files made for noise alone at the first step say so by an
    empty tensor `ztsnr` beside `v_pred`."""
    config = base_config(family.configs / "scheduler" / "scheduler_config.json")
    if prediction == "v_prediction" or "v_pred" in names:
        config["prediction_type"] = "v_prediction"
        if "ztsnr" in names:
            config |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    return config


def padding_of(family: Family, part: str) -> str:
    """The token that fills up what the family's tokenizer `part` makes."""
    return "!" if part == "tokenizer_2" or family.name == "sd2" else "<|endoftext|>"


def converted(part: str, model: Any, tensors: Mapping[str, Any]) -> dict[str, Any]:
    """The file's `tensors` of one component under the names that `model` (which may be empty yet) has for them."""
    from diffusers.loaders import single_file_utils as diffusers_names

    tensors = dict(tensors)
    if part == "unet":
        return diffusers_names.convert_ldm_unet_checkpoint(tensors, model.config)
    if part == "vae":
        return diffusers_names.convert_ldm_vae_checkpoint(tensors, model.config)
    prefix = _text_prefix(part, tensors)
    if _is_open_clip(prefix):
        state = _without_later_layers(diffusers_names.convert_open_clip_checkpoint(model, tensors, prefix), model)
    else:
        state = diffusers_names.convert_ldm_clip_checkpoint(tensors)
    if hasattr(model, "text_projection"):
        return state
    # CLIPTextModel has no `text_model` level since transformers 5.6, and some old files never had it.
    state = {name.removeprefix("text_model."): tensor for name, tensor in state.items()}
    level = "text_model." if hasattr(model, "text_model") else ""
    unwanted = ("position_ids", "text_projection.weight")
    return {level + name: tensor for name, tensor in state.items() if not name.endswith(unwanted)}


def _text_prefix(part: str, names: Mapping[str, Any]) -> str:
    """What the file's names for the text encoder `part` begin with. Raises `KeyError` where there are none."""
    for prefixes in TEXT_PREFIXES.values():
        prefix = prefixes.get(part)
        if prefix and any(name.startswith(prefix) for name in names):
            return prefix
    raise KeyError(part)


def _is_open_clip(prefix: str) -> bool:
    return prefix.endswith(".model.")


def _without_later_layers(state: Mapping[str, Any], model: Any) -> dict[str, Any]:
    """`state` without the layers that `model` does not have."""
    later = re.compile(r"text_model\.encoder\.layers\.(\d+)\.")
    layers = model.config.num_hidden_layers
    return {
        name: tensor for name, tensor in state.items() if not ((found := later.match(name)) and int(found[1]) >= layers)
    }


def _unet_config(family: Family, shapes: Shapes) -> dict[str, Any]:
    def own(name: str) -> tuple[int, ...]:
        return shapes[UNET + name]

    blocks = count(shapes, UNET + "input_blocks.")
    downs = [index for index in range(blocks) if f"{UNET}input_blocks.{index}.0.op.weight" in shapes]
    layers = (downs[0] if downs else blocks) - 1
    starts = range(1, blocks, layers + 1)
    widths = [own(f"input_blocks.{start}.0.out_layers.3.weight")[0] for start in starts]
    depths = [count(shapes, f"{UNET}input_blocks.{start}.1.transformer_blocks.") for start in starts]
    middle = f"{UNET}middle_block.1."
    middle_depth = count(shapes, middle + "transformer_blocks.")
    config: dict[str, Any] = {
        "in_channels": own("input_blocks.0.0.weight")[1],
        "out_channels": own("out.2.weight")[0],
        "block_out_channels": widths,
        "layers_per_block": layers,
        "down_block_types": ["CrossAttnDownBlock2D" if depth else "DownBlock2D" for depth in depths],
        "up_block_types": ["CrossAttnUpBlock2D" if depth else "UpBlock2D" for depth in reversed(depths)],
        "transformer_layers_per_block": [depth or 1 for depth in depths[:-1]] + [depths[-1] or middle_depth],
        "cross_attention_dim": shapes[middle + "transformer_blocks.0.attn2.to_k.weight"][1],
        "use_linear_projection": len(shapes[middle + "proj_in.weight"]) == 2,
    }
    if family.name != "sd1":
        config["attention_head_dim"] = [max(1, width // HEAD_WIDTH) for width in widths]
    if family.name in TIME_IDS:
        text = shapes[TEXT_PREFIXES[family.name]["text_encoder_2"] + "text_projection"][1]
        pooled = own("label_emb.0.0.weight")[1]
        config["projection_class_embeddings_input_dim"] = pooled
        config["addition_time_embed_dim"] = (pooled - text) // TIME_IDS[family.name]
    return config


def vae_config(shapes: Shapes, prefix: str, blocks: str = "down", inner: str = "block") -> dict[str, Any]:
    """What the shapes tell of a VAE whose names begin with `prefix`; `blocks` and `inner` are the layout's words.

    Raises `KeyError` where a tensor that every VAE has is missing.
    """
    down = f"{prefix}encoder.{blocks}."
    levels = count(shapes, down)
    return {
        "in_channels": shapes[prefix + "encoder.conv_in.weight"][1],
        "out_channels": shapes[prefix + "decoder.conv_out.weight"][0],
        "latent_channels": shapes[prefix + "decoder.conv_in.weight"][1],
        "block_out_channels": [shapes[f"{down}{level}.{inner}.0.conv1.weight"][0] for level in range(levels)],
        "layers_per_block": count(shapes, f"{down}0.{inner}."),
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
    }


def _clip_config(prefix: str, shapes: Shapes) -> dict[str, Any]:
    inner = prefix if f"{prefix}embeddings.token_embedding.weight" in shapes else prefix + "text_model."
    vocabulary, width = shapes[inner + "embeddings.token_embedding.weight"]
    return {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "projection_dim": width,
        "intermediate_size": shapes[inner + "encoder.layers.0.mlp.fc1.weight"][0],
        "num_hidden_layers": count(shapes, inner + "encoder.layers."),
        "num_attention_heads": max(1, width // CLIP_HEAD_WIDTH),
        "max_position_embeddings": shapes[inner + "embeddings.position_embedding.weight"][0],
    }


def _open_clip_config(prefix: str, shapes: Shapes) -> dict[str, Any]:
    vocabulary, width = shapes[prefix + "token_embedding.weight"]
    return {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "projection_dim": shapes.get(prefix + "text_projection", (0, width))[1],
        "intermediate_size": shapes[prefix + "transformer.resblocks.0.mlp.c_fc.weight"][0],
        "num_hidden_layers": count(shapes, prefix + "transformer.resblocks."),
        "num_attention_heads": max(1, width // CLIP_HEAD_WIDTH),
        "max_position_embeddings": shapes[prefix + "positional_embedding"][0],
    }


def count(names: Iterable[str], prefix: str) -> int:
    """How many different numbers follow `prefix` in the names."""
    return len({name[len(prefix) :].split(".", 1)[0] for name in names if name.startswith(prefix)})
