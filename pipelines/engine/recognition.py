"""How a single file of each family is recognised, and what else a file among the checkpoints may be, from names and
shapes alone."""

import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipelines.engine.families import FAMILIES, Family, Prediction
from pipelines.engine.headers import Header
from presets.errors import shortened

UNET = "model.diffusion_model."
VAE = "first_stage_model."
ONLY_THESE = "Easel draws with Stable Diffusion 1.x, 2.x, XL and 3.x and with Flux.1"


class OtherKind(Exception):
    """A sound file that is no checkpoint of a family here. `what` it is, and the `advice` for the person."""

    def __init__(self, what: str, advice: str):
        super().__init__(f"{what}: {advice}")
        self.what = what
        self.advice = advice


@dataclass(frozen=True, slots=True)
class Recognised:
    """What a checkpoint's names and shapes tell. `variant` is "" for ordinary models; `parameters` counts the
    denoiser's numbers."""

    family: str
    variant: str
    parameters: int


def recognise(header: Header) -> Recognised:
    """The family and variant of a single file in the original layout. Raises `OtherKind`."""
    if not header.has(UNET):
        raise what_else(header)
    if "edm_mean" in header.shapes:
        raise OtherKind("a Playground v2.5 checkpoint", "its EDM noise schedule is not known to this version")
    family = FAMILIES[_family_of(header)]
    if not header.has(f"{VAE}decoder."):
        raise OtherKind("a checkpoint without its VAE", "choose a full checkpoint, this one cannot decode pictures")
    first = header.shapes.get(f"{UNET}input_blocks.0.0.weight", ())
    variant = variant_of(family, first[1] if len(first) == 4 else 0)
    return Recognised(family.name, variant, header.count(UNET))


def variant_of(family: Family, channels: object) -> str:
    """The name of the family's variant whose denoiser reads `channels`, "" for ordinary ones. Raises `OtherKind`."""
    if channels == family.input_channels:
        return ""
    if isinstance(channels, int) and channels in family.variants:
        return family.variants[channels].name
    what = _BY_CHANNELS.get(channels, "") if isinstance(channels, int) else ""
    raise OtherKind(
        f"a {what or family.title} checkpoint with {shortened(channels)} input channels",
        f"this version draws with those that have {family.input_channels}",
    )


_BY_CHANNELS = {5: "depth-to-image", 7: "times-four upscaler"}


def _family_of(header: Header) -> str:
    if not header.has(f"{UNET}input_blocks."):
        raise what_else(header)
    has_label = f"{UNET}label_emb.0.0.weight" in header.shapes
    if header.has("conditioner.embedders.1."):
        return "sdxl"
    if header.has("conditioner.embedders.0.model."):
        return "sdxl-refiner"
    if header.has("cond_stage_model.model.") and has_label:
        raise OtherKind("a Stable unCLIP checkpoint", ONLY_THESE)
    if header.has("cond_stage_model.model.visual."):
        raise OtherKind("a Zero123 checkpoint, which reads pictures instead of words", ONLY_THESE)
    if header.has("cond_stage_model.model."):
        return "sd2"
    if header.has("cond_stage_model.transformer."):
        return "sd1"
    raise OtherKind("a UNet without its text encoder", "choose a full checkpoint")


_USE_THE_FOLDER = (
    "the tokenizer of its T5 text encoder is in no such file; use the diffusers folder, which has text encoders, "
    "tokenizers and VAE beside it, or its Hugging Face Hub id"
)


# What the model predicts

_YAML_LIMIT = 2**16
_PARAMETERIZATION = re.compile(rb"""^\s*parameterization\s*:\s*["']?(v|eps)["']?\s*(?:#.*)?$""", re.MULTILINE)
_SD2_MARK = f"{UNET}output_blocks.11.1.transformer_blocks.0.norm1.bias"
_SD2_SPREAD = 0.09


def sidecar_of(path: Path) -> Path:
    """The config beside the checkpoint `path` as A1111's web UI reads it; it need not be there."""
    return path.with_suffix(".yaml")


def prediction_of(path: Path, header: Header, found: Recognised) -> Prediction:
    """What the single file's UNet predicts. The first of these that speaks decides:

    `parameterization` in the .yaml file beside it; the file's own metadata (Stability's ModelSpec); an empty tensor
    `v_pred`; for SD 2.x without a variant the spread of one norm's bias, which is over 0.09 only in the models for 768
    pixels (found by ComfyUI, supported_models.py). Raises `OSError`.
    """
    told = _told_by_yaml(sidecar_of(path)) or _told_by_metadata(header.metadata)
    if told:
        return told
    if "v_pred" in header.shapes:
        return "v_prediction"
    if found.family == "sd2" and not found.variant and _spread(path, header, _SD2_MARK) > _SD2_SPREAD:
        return "v_prediction"
    return "epsilon"


def _told_by_yaml(path: Path) -> Prediction | None:
    if not path.is_file():
        return None
    with path.open("rb") as file:
        match = _PARAMETERIZATION.search(file.read(_YAML_LIMIT))
    return None if match is None else "v_prediction" if match[1] == b"v" else "epsilon"


def _told_by_metadata(metadata: Mapping[str, str]) -> Prediction | None:
    kind, architecture = (str(metadata.get(f"modelspec.{name}", "")) for name in ("prediction_type", "architecture"))
    if kind in ("v", "v_prediction") or architecture.startswith("stable-diffusion-v2-768-v"):
        return "v_prediction"
    return "epsilon" if kind == "epsilon" or architecture.startswith("stable-diffusion-v2-512") else None


def _spread(path: Path, header: Header, name: str) -> float:
    """The standard deviation of a small float tensor; 0 for one that is not there or of another type."""
    place = header.places.get(name)
    code = {"F16": "e", "F32": "f", "BF16": "H"}.get(place.dtype, "") if place else ""
    if place is None or not code or not 0 < place.stop - place.start <= 2**16:
        return 0.0
    with path.open("rb") as file:
        file.seek(place.start)
        content = file.read(place.stop - place.start)
    numbers: list[float] = [number for (number,) in struct.iter_unpack(f"<{code}", content)]
    if place.dtype == "BF16":
        numbers = [struct.unpack("<f", struct.pack("<I", int(number) << 16))[0] for number in numbers]
    mean = math.fsum(numbers) / len(numbers)
    return math.sqrt(math.fsum((number - mean) ** 2 for number in numbers) / len(numbers))


# Files of other kinds


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of file that is no checkpoint: any of `marks` in a tensor's name tells it."""

    what: str
    marks: tuple[str, ...]
    advice: str


_FACE_NETWORKS = (
    ("stylegan_decoder.style_mlp.1.weight", "toRGB.0.weight"),
    ("position_emb", "idx_pred_layer.1.weight", "quantize.embedding.weight"),
    ("quantize.embedding.weight", "quant_conv.weight", "encoder.conv_in.weight", "decoder.conv_out.weight"),
)
"""All the tensors of one of these have GFPGAN, CodeFormer and RestoreFormer."""
FACE_RESTORER = "a face restorer", "move it to the face_restorers folder beside checkpoints"
"""What such a file is, and the advice."""

_OTHER_KINDS = (
    _Kind("a motion module", ("motion_modules.",), "move it to the motion_modules folder beside checkpoints"),
    _Kind("an IP-Adapter", ("to_k_ip.weight",), "move it to the ip_adapters folder beside checkpoints"),
    _Kind("a CLIP image encoder", ("vision_model.encoder.",), "move it to the ip_adapters folder beside checkpoints"),
    _Kind(
        "a LoRA",
        ("lora_up.", "lora_down.", "lora_A.", "lora_B.", ".lora.", "hada_w1", "lokr_w"),
        "move it to the loras folder beside checkpoints",
    ),
    _Kind(
        "a ControlNet",
        ("control_model.", "controlnet_cond_embedding.", "input_hint_block."),
        "move it to the controlnets folder beside checkpoints",
    ),
    _Kind("a T2I-Adapter", ("adapter.body.",), "move it to the controlnets folder beside checkpoints"),
    _Kind("a Flux.2 model", ("single_stream_modulation.lin.",), ONLY_THESE),
    _Kind("a Chroma model", ("distilled_guidance_layer.",), ONLY_THESE),
    _Kind("a Flux.1 model in one file", ("double_blocks.",), _USE_THE_FOLDER),
    _Kind("a Stable Diffusion 3.x model in one file", ("joint_blocks.",), _USE_THE_FOLDER),
    _Kind("the UNet of a diffusers folder", ("down_blocks.0.resnets.0.time_emb_proj.",), "copy the whole folder"),
    _Kind("a VAE", ("decoder.conv_in.weight",), "move it to the vae folder beside checkpoints"),
    _Kind(
        "a textual inversion embedding",
        ("emb_params", "string_to_param", "clip_g", "clip_l"),
        "move it to the embeddings folder beside checkpoints",
    ),
    _Kind("a text encoder", ("text_model.encoder.layers.", "shared.weight"), "choose a full checkpoint"),
    _Kind("a language model", ("model.layers.0.", "model.embed_tokens.", "lm_head."), ONLY_THESE),
    _Kind(
        "an upscaler",
        ("conv_first.weight", ".rdb1.", "RDB1.", "body.0.weight"),
        "move it to the upscalers folder beside checkpoints",
    ),
)


def is_face_restorer(header: Header) -> bool:
    return any(all(name in header.shapes for name in names) for names in _FACE_NETWORKS)


def what_else(header: Header) -> OtherKind:
    """What a file is that is nothing of what is looked for where it lies."""
    if is_face_restorer(header):
        return OtherKind(*FACE_RESTORER)
    for kind in _OTHER_KINDS:
        if any(mark in name for name in header.shapes for mark in kind.marks):
            what = kind.what + _lora_family(header) if kind.what == "a LoRA" else kind.what
            return OtherKind(what, kind.advice)
    return OtherKind("of a kind that Easel does not know", ONLY_THESE)


_LORA_FAMILY_BY_WIDTH = {768: " for Stable Diffusion 1.x", 1024: " for Stable Diffusion 2.x", 2048: " for SDXL"}


def _lora_family(header: Header) -> str:
    """Told by the width of the text that the UNet's cross attention reads."""
    for name, shape in header.shapes.items():
        reads_text = "attn2" in name and ("to_k" in name or "to_v" in name)
        if reads_text and ("lora_down" in name or "lora_A" in name) and len(shape) > 1:
            return _LORA_FAMILY_BY_WIDTH.get(shape[1], "")
    return " for SDXL" if header.has("lora_te2_") else ""
