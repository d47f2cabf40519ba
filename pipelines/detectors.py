"""Preprocessors that need weights: controlnet-aux's detectors, and transformers' models of depth.

What a detector loads are modules, which the manager of models keeps; the detector itself is put around them for each
picture. Pictures are (height, width, 3) arrays of red, green and blue from 0 to 255.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from pickle import UnpicklingError
from types import MappingProxyType, SimpleNamespace
from typing import Any

import cv2
import numpy as np
import torch
from accelerate import init_empty_weights
from PIL import Image
from safetensors import SafetensorError

from pipelines.engine.errors import PreprocessorRefused
from pipelines.engine.headers import BrokenFile
from pipelines.engine.out_of_memory import is_out_of_memory
from pipelines.engine.pickles import UnsafeFile, check_zip
from pipelines.poses import drawn
from presets.preprocessors import PreprocessSettings

Pixels = np.ndarray
Parts = dict[str, Any]
Tensors = Mapping[str, Any]

GRID = 64
"""The detectors bring pictures to multiples of it by themselves; given these, they leave the size as it is."""


@dataclass(frozen=True, slots=True)
class Detector:
    """`build` makes the modules of what the files hold (for `folder`, of the folder itself), `look` the control picture
    of a picture whose sides are multiples of `GRID`."""

    build: Callable[[Sequence[Any]], Parts]
    look: Callable[[Parts, Pixels, PreprocessSettings], Any]
    folder: bool = False


def build(detector: Detector, paths: Sequence[Path]) -> Parts:
    """The detector's modules of its files, in main memory. Raises `PreprocessorRefused`."""
    open_package()
    try:
        with redirect_stdout(sys.stderr):  # libraries print; stdout belongs to the program's results
            parts = detector.build([paths[0].parent] if detector.folder else [_read(path) for path in paths])
    except (RuntimeError, LookupError, TypeError, AttributeError, ValueError, OSError, SafetensorError) as problem:
        if is_out_of_memory(problem):
            raise
        names = paths[0].parent.name if detector.folder else " and ".join(path.name for path in paths)
        reason = f"it does not hold the weights that are wanted ({type(problem).__name__})"
        raise PreprocessorRefused(names, reason) from problem
    for module in parts.values():
        if isinstance(module, torch.nn.Module):
            module.float().eval().requires_grad_(False)
    return parts


def look(detector: Detector, parts: Parts, image: Pixels, settings: PreprocessSettings) -> Pixels:
    """The control picture of `image`, pixel on pixel: the picture is continued at its edges to sides that the detector
    leaves as they are."""
    height, width = image.shape[:2]
    below, right = -height % GRID, -width % GRID
    whole = cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REPLICATE)
    with torch.inference_mode():
        return np.asarray(detector.look(parts, whole, settings))[:height, :width]


def open_package() -> None:
    """Have the parts of controlnet-aux imported one by one: the package itself imports them all, which takes seconds
    and fails where any of them does."""
    if "controlnet_aux" not in sys.modules:
        spec = find_spec("controlnet_aux")
        assert spec
        sys.modules["controlnet_aux"] = module_from_spec(spec)


def _read(path: Path) -> Any:
    """What a file of PyTorch holds; nothing in it is run. Raises `PreprocessorRefused`."""
    try:
        with path.open("rb") as file:
            start = file.read(2)
        if start == b"PK":
            check_zip(path)
        elif start[:1] != b"\x80":  # among others a tar file, which PyTorch would unpack
            raise BrokenFile("it is none")
        return torch.load(path, map_location="cpu", weights_only=True)
    except UnsafeFile as problem:
        raise PreprocessorRefused(path.name, str(problem), "E-MODEL-UNSAFE") from problem
    except UnpicklingError as problem:
        reason = "it contains code, or is no PyTorch file"
        raise PreprocessorRefused(path.name, reason, "E-MODEL-UNSAFE") from problem
    except (BrokenFile, RuntimeError, EOFError, ValueError) as problem:
        if is_out_of_memory(problem):
            raise
        raise PreprocessorRefused(path.name, "it is cut off or no PyTorch file; get it anew") from problem


def _filled(make: Callable[[], Any], tensors: Tensors) -> Any:
    """The module that `make` makes with these weights. Raises `RuntimeError` where they are not all there."""
    with init_empty_weights():
        module = make()
    return _with(module, tensors)


def _with(module: Any, tensors: Tensors) -> Any:
    module.load_state_dict({name.removeprefix("module."): tensor for name, tensor in tensors.items()}, assign=True)
    return module


def _sides(image: Pixels) -> dict[str, Any]:
    """What has a detector leave the size as it is."""
    return {"detect_resolution": min(image.shape[:2]), "image_resolution": min(image.shape[:2])}


# Edges and lines


def _build_hed(files: Sequence[Tensors]) -> Parts:
    from controlnet_aux.hed import ControlNetHED_Apache2

    return {"network": _filled(ControlNetHED_Apache2, files[0])}


def _hed(parts: Parts, image: Pixels, scribble: bool) -> Any:
    from controlnet_aux.hed import HEDdetector

    return HEDdetector(parts["network"])(image, **_sides(image), scribble=scribble)


def _build_pidinet(files: Sequence[Tensors]) -> Parts:
    from controlnet_aux.pidi.model import pidinet

    return {"network": _filled(pidinet, files[0]["state_dict"])}


def _pidinet(parts: Parts, image: Pixels, scribble: bool) -> Any:
    from controlnet_aux.pidi import PidiNetDetector

    return PidiNetDetector(parts["network"])(image, **_sides(image), scribble=scribble)


def _build_teed(files: Sequence[Tensors]) -> Parts:
    from controlnet_aux.teed.ted import TED

    return {"network": _filled(TED, files[0])}


def _teed(parts: Parts, image: Pixels, _: PreprocessSettings) -> Any:
    from controlnet_aux.teed import TEEDdetector

    return TEEDdetector(parts["network"])(image, detect_resolution=min(image.shape[:2]))


def _anyline(parts: Parts, image: Pixels, _: PreprocessSettings) -> Any:
    from controlnet_aux.anyline import AnylineDetector

    return AnylineDetector(parts["network"])(image, detect_resolution=min(image.shape[:2]))


def _build_lineart(files: Sequence[Tensors]) -> Parts:
    from controlnet_aux.lineart import Generator

    return {"network": _filled(lambda: Generator(3, 1, 3), files[0])}


def _lineart(parts: Parts, image: Pixels, _: PreprocessSettings) -> Any:
    from controlnet_aux.lineart import LineartDetector

    return LineartDetector(parts["network"], parts["network"])(image, **_sides(image))


def _build_anime(files: Sequence[Tensors]) -> Parts:
    from functools import partial

    from controlnet_aux.lineart_anime import UnetGenerator

    norm: Any = partial(torch.nn.InstanceNorm2d, affine=False, track_running_stats=False)
    return {"network": _filled(lambda: UnetGenerator(3, 1, 8, 64, norm_layer=norm), files[0])}


def _anime(parts: Parts, image: Pixels, _: PreprocessSettings) -> Any:
    from controlnet_aux.lineart_anime import LineartAnimeDetector

    return LineartAnimeDetector(parts["network"])(image, **_sides(image))


def _build_mlsd(files: Sequence[Tensors]) -> Parts:
    from controlnet_aux.mlsd import MobileV2_MLSD_Large

    return {"network": _filled(MobileV2_MLSD_Large, files[0])}


def _mlsd(parts: Parts, image: Pixels, settings: PreprocessSettings) -> Pixels:
    """As the detector of controlnet-aux, which shows no lines where anything fails."""
    from controlnet_aux.mlsd.utils import pred_lines

    drawn = np.zeros_like(image)
    sides = list(image.shape[:2])
    for line in pred_lines(image, parts["network"], sides, settings.line_score, settings.line_length):
        x, y, end_x, end_y = (int(place) for place in line)
        cv2.line(drawn, (x, y), (end_x, end_y), (255, 255, 255), 1)
    return drawn


# Depth and normals


def _build_depth(folders: Sequence[Any]) -> Parts:
    from transformers import AutoImageProcessor, AutoModelForDepthEstimation

    options = {"local_files_only": True, "use_safetensors": True, "dtype": torch.float32}
    return {
        "model": AutoModelForDepthEstimation.from_pretrained(folders[0], **options),
        "processor": AutoImageProcessor.from_pretrained(folders[0], local_files_only=True),
    }


def _depth(parts: Parts, image: Pixels, _: PreprocessSettings) -> Pixels:
    """Near is white. These models tell how near things are, up to scale and offset."""
    inputs = parts["processor"](images=Image.fromarray(image), return_tensors="pt").to(parts["model"].device)
    sizes = [image.shape[:2]]
    (answer,) = parts["processor"].post_process_depth_estimation(parts["model"](**inputs), target_sizes=sizes)
    near = answer["predicted_depth"].float().cpu().numpy()
    return np.repeat(_stretched(near)[:, :, None], 3, axis=2)


def _stretched(values: Pixels) -> Pixels:
    """`values` from black to white; all black where they are all the same."""
    lowest, highest = float(values.min()), float(values.max())
    return ((values - lowest) / ((highest - lowest) or 1.0) * 255).round().astype(np.uint8)


def _build_midas(files: Sequence[Tensors]) -> Parts:
    from controlnet_aux.midas.midas.dpt_depth import DPTDepthModel

    tensors = files[0]["model"] if "optimizer" in files[0] else files[0]
    whole = DPTDepthModel(backbone="vitb_rn50_384", non_negative=True)  # timm runs it once while it is made
    return {"network": _with(whole, tensors)}


def _midas(parts: Parts, image: Pixels, _: PreprocessSettings) -> Any:
    from controlnet_aux.midas import MidasDetector

    return MidasDetector(parts["network"])(image, **_sides(image))


def _midas_normals(parts: Parts, image: Pixels, settings: PreprocessSettings) -> Any:
    from controlnet_aux.midas import MidasDetector

    detector, background = MidasDetector(parts["network"]), settings.background_depth
    both: Any = detector(image, **_sides(image), bg_th=background, depth_and_normal=True)
    return both[1]


def _build_zoe(files: Sequence[Tensors]) -> Parts:
    """Newer versions of timm compute themselves what older ones kept in the file, and the other way round."""
    from controlnet_aux.zoe import ZoeDepth, get_config

    module = ZoeDepth.build_from_config(get_config("zoedepth", "infer"))
    tensors = files[0]["model"]
    known = [name in tensors for name in module.state_dict() if "relative_position_index" not in name]
    if sum(known) < 0.9 * len(known):
        raise KeyError("weights of ZoeDepth")
    module.load_state_dict(tensors)
    return {"network": module}


def _zoe(parts: Parts, image: Pixels, _: PreprocessSettings) -> Any:
    from controlnet_aux.zoe import ZoeDetector

    return ZoeDetector(parts["network"])(image, **_sides(image))


def _build_leres(files: Sequence[Tensors]) -> Parts:
    from controlnet_aux.leres import RelDepthModel

    return {"network": _filled(lambda: RelDepthModel(backbone="resnext101"), files[0]["depth_model"])}


def _leres(parts: Parts, image: Pixels, _: PreprocessSettings) -> Any:
    from controlnet_aux.leres import LeresDetector

    return LeresDetector(parts["network"], None)(image, **_sides(image), output_type="np")


def _build_bae(files: Sequence[Tensors]) -> Parts:
    from controlnet_aux.normalbae import NNET

    wanted = SimpleNamespace(
        mode="client", architecture="BN", pretrained="scannet", sampling_ratio=0.4, importance_ratio=0.7
    )
    return {"network": _filled(lambda: NNET(wanted), files[0]["model"])}


def _bae(parts: Parts, image: Pixels, _: PreprocessSettings) -> Any:
    from controlnet_aux.normalbae import NormalBaeDetector

    return NormalBaeDetector(parts["network"])(image, **_sides(image))


# Poses


def _build_body(files: Sequence[Tensors]) -> Parts:
    from controlnet_aux.open_pose.model import bodypose_model

    return {"body": _transferred(bodypose_model, files[0])}


def _build_hand(tensors: Tensors) -> Parts:
    from controlnet_aux.open_pose.model import handpose_model

    return {"hand": _transferred(handpose_model, tensors)}


def _build_face(tensors: Tensors) -> Parts:
    from controlnet_aux.open_pose.face import FaceNet

    return {"face": _filled(FaceNet, tensors)}


def _transferred(make: Callable[[], Any], tensors: Tensors) -> Any:
    """The module that `make` makes with the weights of a file whose names lack those of its blocks."""
    with init_empty_weights():
        names = make().state_dict()
    return _filled(make, {name: tensors[name.partition(".")[2]] for name in names})


def _pose(parts: Parts, image: Pixels, _: PreprocessSettings) -> Any:
    from controlnet_aux.open_pose import OpenposeDetector
    from controlnet_aux.open_pose.body import Body
    from controlnet_aux.open_pose.face import Face, params
    from controlnet_aux.open_pose.hand import Hand

    face = {
        "inference_size": params["inference_img_size"],
        "sigma": params["gaussian_sigma"],
        "threshold": params["heatmap_peak_thresh"],
    }
    detector = OpenposeDetector(
        _around(Body, parts["body"]),
        _around(Hand, parts["hand"]) if "hand" in parts else None,
        _around(Face, parts["face"], **face) if "face" in parts else None,
    )
    poses = detector.detect_poses(image, include_hand="hand" in parts, include_face="face" in parts)
    return drawn(poses, *image.shape[:2])


def _around(kind: Any, model: Any, **attributes: Any) -> Any:
    """One of controlnet-aux's parts of a pose detector around its module: its constructor would read a file."""
    part = object.__new__(kind)
    vars(part).update(attributes, model=model)
    return part


DETECTORS: Mapping[str, Detector] = MappingProxyType(
    {
        "softedge-hed": Detector(_build_hed, lambda parts, image, _: _hed(parts, image, scribble=False)),
        "scribble-hed": Detector(_build_hed, lambda parts, image, _: _hed(parts, image, scribble=True)),
        "softedge-pidinet": Detector(_build_pidinet, lambda parts, image, _: _pidinet(parts, image, scribble=False)),
        "scribble-pidinet": Detector(_build_pidinet, lambda parts, image, _: _pidinet(parts, image, scribble=True)),
        "softedge-teed": Detector(_build_teed, _teed),
        "anyline": Detector(_build_teed, _anyline),
        "lineart-realistic": Detector(_build_lineart, _lineart),
        "lineart-coarse": Detector(_build_lineart, _lineart),
        "lineart-anime": Detector(_build_anime, _anime),
        "mlsd": Detector(_build_mlsd, _mlsd),
        "depth": Detector(_build_depth, _depth, folder=True),
        "depth-dpt": Detector(_build_depth, _depth, folder=True),
        "depth-midas": Detector(_build_midas, _midas),
        "depth-zoe": Detector(_build_zoe, _zoe),
        "depth-leres": Detector(_build_leres, _leres),
        "normal-bae": Detector(_build_bae, _bae),
        "normal-midas": Detector(_build_midas, _midas_normals),
        "openpose": Detector(_build_body, _pose),
        "openpose-hand": Detector(lambda files: _build_body(files) | _build_hand(files[1]), _pose),
        "openpose-face": Detector(lambda files: _build_body(files) | _build_face(files[1]), _pose),
        "openpose-full": Detector(
            lambda files: _build_body(files) | _build_hand(files[1]) | _build_face(files[2]), _pose
        ),
    }
)
"""Preprocessor -> its detector: every one of the table that needs weights."""
