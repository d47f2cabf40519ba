"""Tiny IP-Adapters and a tiny image encoder with random weights, laid out as h94/IP-Adapter is."""

from pathlib import Path
from typing import Any

import torch
from diffusers.models.embeddings import IPAdapterFullImageProjection, IPAdapterPlusImageProjection
from safetensors.torch import save_file
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from tests.checkpoints import Tensors

WIDTH, PROJECTED, WORDS = 32, 24, 4


def save_encoder(folder: Path, seed: int = 3, projected: int = PROJECTED) -> Path:
    """A CLIP image encoder as a folder of transformers."""
    torch.manual_seed(seed)
    config = CLIPVisionConfig(
        hidden_size=WIDTH,
        intermediate_size=48,
        projection_dim=projected,
        num_hidden_layers=3,
        num_attention_heads=4,
        image_size=32,
        patch_size=8,
        hidden_act="gelu",
    )
    CLIPVisionModelWithProjection(config).half().save_pretrained(folder)
    return folder


def tiny_ip_adapter(unet: Any, kind: str = "plain", seed: int = 5) -> dict[str, Tensors]:
    """For `unet`, in the original layout: "plain", "plus" or "full". It says something: its words are large."""
    torch.manual_seed(seed)
    text = unet.config.cross_attention_dim
    crossing = [module for name, module in unet.named_modules() if name.endswith("attn2")]
    layers = {
        f"{2 * number + 1}.{part}.weight": torch.randn(module.to_k.out_features, text) / 4
        for number, module in enumerate(crossing)
        for part in ("to_k_ip", "to_v_ip")
    }
    return {"image_proj": _PROJECTIONS[kind](text), "ip_adapter": layers}


def _plain(text: int) -> Tensors:
    norm = {"norm.weight": torch.ones(text), "norm.bias": torch.zeros(text)}
    weights = torch.randn(WORDS * text, PROJECTED), torch.randn(WORDS * text)
    return {"proj.weight": weights[0], "proj.bias": weights[1], **norm}


def _full(text: int) -> Tensors:
    state = IPAdapterFullImageProjection(WIDTH, text).state_dict()
    names = {"ff.net.0.proj": "proj.0", "ff.net.2": "proj.2", "norm": "proj.3"}
    return {_renamed(name, names): tensor for name, tensor in state.items()}


def _plus(text: int) -> Tensors:
    made = IPAdapterPlusImageProjection(WIDTH, text, 64, depth=4, dim_head=64, heads=1, num_queries=WORDS)
    names = {
        "ln0": "0.norm1", "ln1": "0.norm2", "attn.to_q": "0.to_q", "attn.to_out.0": "0.to_out",
        "ff.0": "1.0", "ff.1.net.0.proj": "1.1", "ff.1.net.2": "1.3",
    }  # fmt: skip
    state = made.state_dict()
    renamed = {_renamed(name, names): tensor for name, tensor in state.items() if "attn.to_k" not in name}
    for name in [name for name in renamed if "attn.to_v" in name]:
        both = torch.cat([state[name.replace("to_v", "to_k")], renamed.pop(name)])
        renamed[name.replace("attn.to_v", "0.to_kv")] = both
    return renamed


_PROJECTIONS = {"plain": _plain, "plus": _plus, "full": _full}


def _renamed(name: str, names: dict[str, str]) -> str:
    found = max((part for part in names if f"{part}." in name), key=len, default="")
    return name.replace(f"{found}.", f"{names[found]}.") if found else name


def save_ip_adapter(adapter: dict[str, Tensors], path: Path) -> Path:
    """As safetensors, or pickled where `path` ends in .bin."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".bin":
        torch.save(adapter, path)
    else:
        flat = {f"{part}.{name}": tensor for part, tensors in adapter.items() for name, tensor in tensors.items()}
        save_file({name: tensor.contiguous() for name, tensor in flat.items()}, path)
    return path
