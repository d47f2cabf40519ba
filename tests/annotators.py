"""Detectors' weights as their authors laid them out in files, with numbers that mean nothing."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from accelerate import init_empty_weights

Tensors = Mapping[str, torch.Tensor]


def parallel(tensors: Tensors) -> dict[str, torch.Tensor]:
    """Named as by a module that was trained on several devices."""
    return {f"module.{name}": tensor for name, tensor in tensors.items()}


def without_blocks(tensors: Tensors) -> dict[str, torch.Tensor]:
    return {name.partition(".")[2]: tensor for name, tensor in tensors.items()}


def hed() -> Any:
    from controlnet_aux.hed import ControlNetHED_Apache2

    return ControlNetHED_Apache2().state_dict()


def pidinet() -> Any:
    from controlnet_aux.pidi.model import pidinet

    return {"epoch": 19, "state_dict": parallel(pidinet().state_dict())}


def teed() -> Any:
    from controlnet_aux.teed.ted import TED

    return TED().state_dict()


def lineart() -> Any:
    from controlnet_aux.lineart import Generator

    return Generator(3, 1, 3).state_dict()


def anime() -> Any:
    from functools import partial

    from controlnet_aux.lineart_anime import UnetGenerator

    norm = partial(torch.nn.InstanceNorm2d, affine=False, track_running_stats=False)
    return parallel(UnetGenerator(3, 1, 8, 64, norm_layer=norm).state_dict())


def mlsd() -> Any:
    from controlnet_aux.mlsd import MobileV2_MLSD_Large

    return MobileV2_MLSD_Large().state_dict()


def midas() -> Any:
    from controlnet_aux.midas.midas.dpt_depth import DPTDepthModel

    return DPTDepthModel(backbone="vitb_rn50_384", non_negative=True).state_dict()


def zoe() -> Any:
    from controlnet_aux.zoe import ZoeDepth, get_config

    return {"model": ZoeDepth.build_from_config(get_config("zoedepth", "infer")).state_dict()}


def leres() -> Any:
    from controlnet_aux.leres import RelDepthModel

    return {"depth_model": parallel(RelDepthModel(backbone="resnext101").state_dict())}


def bae() -> Any:
    from controlnet_aux.normalbae import NNET

    wanted = {"mode": "client", "architecture": "BN", "sampling_ratio": 0.4, "importance_ratio": 0.7}
    return {"model": parallel(NNET(SimpleNamespace(**wanted)).state_dict())}


def body() -> Any:
    from controlnet_aux.open_pose.model import bodypose_model

    return without_blocks(bodypose_model().state_dict())


def hand() -> Any:
    from controlnet_aux.open_pose.model import handpose_model

    return without_blocks(handpose_model().state_dict())


def face() -> Any:
    from controlnet_aux.open_pose.face import FaceNet

    return FaceNet().state_dict()


FILES: Mapping[str, Callable[[], Any]] = {
    "ControlNetHED.pth": hed,
    "table5_pidinet.pth": pidinet,
    "5_model.pth": teed,
    "MTEED.pth": teed,
    "sk_model.pth": lineart,
    "sk_model2.pth": lineart,
    "netG.pth": anime,
    "mlsd_large_512_fp32.pth": mlsd,
    "dpt_hybrid-midas-501f0c75.pt": midas,
    "ZoeD_M12_N.pt": zoe,
    "res101.pth": leres,
    "scannet.pt": bae,
    "body_pose_model.pth": body,
    "hand_pose_model.pth": hand,
    "facenet.pth": face,
}
"""Name of a file -> what is in it."""


def save(folder: Path, *names: str, small: bool = False) -> Path:
    """Write files of these names into `folder`, with other numbers for each name but the same each time. `small` ones
    hold one number for each tensor."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(len(name))
            with nullcontext() if FILES[name] is midas else init_empty_weights():  # timm runs it while it is made
                empty = FILES[name]()
            torch.save(_filled(empty, _one_number if small else _numbers), folder / name)
    return folder


def _filled(value: Any, numbers: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """`value` with numbers in its tensors."""
    if isinstance(value, Mapping):
        return {name: _filled(part, numbers) for name, part in value.items()}
    return numbers(value) if isinstance(value, torch.Tensor) else value


def _numbers(tensor: torch.Tensor) -> torch.Tensor:
    return torch.randn(tensor.shape) / max(1, tensor.shape[1:].numel()) ** 0.5 if tensor.is_meta else tensor


def _one_number(tensor: torch.Tensor) -> torch.Tensor:
    first = torch.randn(()) * 0.01 if tensor.is_meta else tensor.flatten()[0].clone()
    return first.expand(tensor.shape)


def save_depth_anything(folder: Path) -> Path:
    """A tiny model of Depth Anything, as transformers writes it."""
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config, DPTImageProcessor

    sides = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2, "image_size": 56, "patch_size": 14}
    backbone = Dinov2Config(**sides, reshape_hidden_states=False, out_indices=[1, 2, 3, 4])
    config = DepthAnythingConfig(
        backbone_config=backbone,
        patch_size=14,
        reassemble_hidden_size=32,
        neck_hidden_sizes=[8, 16, 32, 32],
        fusion_hidden_size=16,
        head_hidden_size=8,
    )
    torch.manual_seed(3)
    DepthAnythingForDepthEstimation(config).save_pretrained(folder)
    sizes = {"size": {"height": 56, "width": 56}, "keep_aspect_ratio": True, "ensure_multiple_of": 14}
    DPTImageProcessor(**sizes).save_pretrained(folder)
    return folder


def save_dpt(folder: Path) -> Path:
    """A tiny DPT, as transformers writes it."""
    from transformers import DPTConfig, DPTForDepthEstimation, DPTImageProcessor

    config = DPTConfig(
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=64,
        image_size=64,
        patch_size=16,
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[8, 16, 32, 32],
        fusion_hidden_size=16,
    )
    torch.manual_seed(3)
    DPTForDepthEstimation(config).save_pretrained(folder)
    DPTImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)
    return folder
