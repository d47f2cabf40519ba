"""Real upscaling models at their smallest, for tests."""

from pathlib import Path

import torch
from safetensors.torch import save_file
from spandrel.architectures.Compact import Compact


def tiny_compact(scale: int = 2, channels: int = 3) -> Compact:
    """Seeded weights; its picture is near the plainly stretched one."""
    torch.manual_seed(scale)
    model = Compact(num_in_ch=channels, num_out_ch=channels, num_feat=4, num_conv=2, upscale=scale).eval()
    with torch.no_grad():
        for parameter in model.body[-1].parameters():
            parameter.mul_(0.2)
    return model


def save_upscaler(model: torch.nn.Module, path: Path, *, under: str = "") -> Path:
    """As .safetensors, or pickled as those who train upscalers do, `under` a key."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        save_file(model.state_dict(), path)
    else:
        torch.save({under: model.state_dict()} if under else model.state_dict(), path)
    return path
