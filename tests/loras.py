"""LoRA files with random weights for the tiny checkpoints, in the spellings that there are."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from pipelines.engine.catalog import Catalog
from pipelines.engine.lora_files import LoraFiles
from pipelines.engine.model import Model
from tests.checkpoints import Tensors, original_unet

ATTENTION = r"\.(to_q|to_k|to_v|to_out\.0|q_proj|k_proj|v_proj|out_proj)$"
CONVOLUTION = r"resnets\.\d+\.(conv1|conv2|conv_shortcut)$|samplers\.0\.conv$|proj_(in|out)$"


def layers(component: torch.nn.Module, pattern: str = ATTENTION) -> dict[str, torch.Size]:
    """Path -> the shape of its weight, of the modules whose path fits."""
    modules = ((name, module) for name, module in component.named_modules() if re.search(pattern, name))
    return {name: module.weight.shape for name, module in modules if hasattr(module, "weight")}


def noise(*shape: int, scale: float = 0.05) -> torch.Tensor:
    return torch.randn(*shape) * scale


def low_rank(shape: Iterable[int], rank: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    """up and down."""
    rows, columns, *kernel = shape
    return noise(rows, rank, *[1] * len(kernel)), noise(rank, columns, *kernel)


def kohya(prefix: str, paths: Mapping[str, Iterable[int]], rank: int = 4, alpha: float | None = 2.0) -> Tensors:
    tensors = {}
    for path, shape in paths.items():
        name = prefix + path.replace(".", "_")
        tensors[f"{name}.lora_up.weight"], tensors[f"{name}.lora_down.weight"] = low_rank(shape, rank)
        if alpha is not None:
            tensors[f"{name}.alpha"] = torch.tensor(alpha)
    return tensors


def dotted(prefix: str, paths: Mapping[str, Iterable[int]], ends: tuple[str, str], rank: int = 4) -> Tensors:
    """`ends` are those of up and down."""
    tensors = {}
    for path, shape in paths.items():
        tensors[prefix + path + ends[0]], tensors[prefix + path + ends[1]] = low_rank(shape, rank)
    return tensors


PEFT_ENDS = (".lora_B.weight", ".lora_A.weight")
OLD_ENDS = (".lora.up.weight", ".lora.down.weight")


def text_paths(encoder: torch.nn.Module) -> dict[str, torch.Size]:
    """As files spell them, whatever the installed library calls its modules."""
    return {f"text_model.{path.removeprefix('text_model.')}": shape for path, shape in layers(encoder).items()}


def of_sd1(pipe: Any, pattern: str = ATTENTION) -> Tensors:
    """A LoRA of kohya's trainer for UNet and text encoder."""
    return kohya("lora_unet_", layers(pipe.unet, pattern)) | kohya("lora_te_", text_paths(pipe.text_encoder))


def of_sdxl(pipe: Any) -> Tensors:
    """The same for SDXL, whose UNet kohya's trainer names by the original layout."""
    names = {name: name.removesuffix(".weight") for name in original_unet(pipe.unet) if name.endswith(".weight")}
    wanted = ATTENTION + "|" + r"in_layers\.2$|out_layers\.3$|emb_layers\.1$|\.op$|\.conv$|skip_connection$|proj_in$"
    state = original_unet(pipe.unet)
    paths = {
        path.removeprefix("model.diffusion_model."): state[name].shape
        for name, path in names.items()
        if re.search(wanted, path)
    }
    return (
        kohya("lora_unet_", paths)
        | kohya("lora_te1_", text_paths(pipe.text_encoder))
        | kohya("lora_te2_", text_paths(pipe.text_encoder_2))
    )


def save_lora(root: Path, name: str, tensors: Tensors, metadata: dict[str, str] | None = None) -> Path:
    """Write `tensors` among the LoRAs of the model root."""
    path = root / "loras" / f"{name}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, path, metadata=metadata)
    return path


def files_in(root: Path) -> LoraFiles:
    return LoraFiles(Catalog((root,)))


def model_of(family: str) -> Model:
    """A checkpoint as far as adapters look at it."""
    return Model("tiny", family, None, "folder", (128, 128), 1, "epsilon", 1, "identity")


def components_of(pipe: Any) -> dict[str, Any]:
    return {name: part for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)}


_FUSED = {"qkv": ("to_q", "to_k", "to_v"), "added": ("add_q_proj", "add_k_proj", "add_v_proj")}


def _stacked(component: torch.nn.Module, *paths: str) -> tuple[int, int]:
    weights = [component.get_parameter(f"{path}.weight") for path in paths]
    return sum(weight.shape[0] for weight in weights), weights[0].shape[1]


def of_flux(pipe: Any) -> Tensors:
    """A LoRA of kohya's trainer for Flux's transformer, and for CLIP."""
    shapes = {}
    for number, _ in enumerate(pipe.transformer.transformer_blocks):
        start, original = f"transformer_blocks.{number}.", f"double_blocks.{number}."
        for side, ends in (("img", _FUSED["qkv"]), ("txt", _FUSED["added"])):
            paths = [f"{start}attn.{end}" for end in ends]
            shapes[f"{original}{side}_attn.qkv"] = _stacked(pipe.transformer, *paths)
        shapes[f"{original}img_attn.proj"] = _stacked(pipe.transformer, f"{start}attn.to_out.0")
        shapes[f"{original}txt_mlp.2"] = _stacked(pipe.transformer, f"{start}ff_context.net.2")
        shapes[f"{original}img_mod.lin"] = _stacked(pipe.transformer, f"{start}norm1.linear")
    for number, _ in enumerate(pipe.transformer.single_transformer_blocks):
        start = f"single_transformer_blocks.{number}."
        paths = [*(f"{start}attn.{end}" for end in _FUSED["qkv"]), f"{start}proj_mlp"]
        shapes[f"single_blocks.{number}.linear1"] = _stacked(pipe.transformer, *paths)
        shapes[f"single_blocks.{number}.linear2"] = _stacked(pipe.transformer, f"{start}proj_out")
    return kohya("lora_unet_", shapes) | kohya("lora_te1_", text_paths(pipe.text_encoder))


def of_sd3(pipe: Any) -> Tensors:
    """A LoRA of kohya's trainer for the transformer of Stable Diffusion 3."""
    shapes = {}
    for number, _ in enumerate(pipe.transformer.transformer_blocks):
        start, original = f"transformer_blocks.{number}.", f"joint_blocks.{number}."
        for side, ends in (("x", _FUSED["qkv"]), ("context", _FUSED["added"])):
            paths = [f"{start}attn.{end}" for end in ends]
            shapes[f"{original}{side}_block.attn.qkv"] = _stacked(pipe.transformer, *paths)
        shapes[f"{original}x_block.mlp.fc1"] = _stacked(pipe.transformer, f"{start}ff.net.0.proj")
        shapes[f"{original}x_block.adaLN_modulation.1"] = _stacked(pipe.transformer, f"{start}norm1.linear")
    return kohya("lora_unet_", shapes)
