"""Families of models, and how a file or folder of each is recognised, from names and shapes alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from pipelines.engine.headers import Header
from presets.errors import shortened

Prediction = Literal["epsilon", "v_prediction"]

CONFIGS = Path(__file__).parent / "configs"
"""Component configs for each family, and the CLIP tokenizer that both share."""


@dataclass(frozen=True, slots=True)
class Family:
    """A row of `FAMILIES`.

    `pipelines` maps a task to the name of its diffusers class. `configs` is the folder of component configs for
    single files. `latent_to_rgb` has one row (red, green, blue) per latent channel: scaled latents times the rows
    plus `latent_bias` are roughly the picture in [-1, 1]. `native_size` is (width, height) in pixels.
    """

    name: str
    title: str
    native_size: tuple[int, int]
    pipelines: Mapping[str, str]
    components: tuple[str, ...]
    latent_to_rgb: tuple[tuple[float, float, float], ...]
    latent_bias: tuple[float, float, float]

    @property
    def configs(self) -> Path:
        return CONFIGS / self.name


# The factors of both families are the fits that ComfyUI ships in comfy/latent_formats.py.
FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "sd1": Family(
            name="sd1",
            title="Stable Diffusion 1.x",
            native_size=(512, 512),
            pipelines={
                "text-to-image": "StableDiffusionPipeline",
                "image-to-image": "StableDiffusionImg2ImgPipeline",
                "inpaint": "StableDiffusionInpaintPipeline",
            },
            components=("tokenizer", "text_encoder", "unet", "vae", "scheduler"),
            latent_to_rgb=(
                (0.3512, 0.2297, 0.3227),
                (0.3250, 0.4974, 0.2350),
                (-0.2829, 0.1762, 0.2721),
                (-0.2120, -0.2616, -0.7177),
            ),
            latent_bias=(0.0, 0.0, 0.0),
        ),
        "sdxl": Family(
            name="sdxl",
            title="Stable Diffusion XL",
            native_size=(1024, 1024),
            pipelines={
                "text-to-image": "StableDiffusionXLPipeline",
                "image-to-image": "StableDiffusionXLImg2ImgPipeline",
                "inpaint": "StableDiffusionXLInpaintPipeline",
            },
            components=("tokenizer", "tokenizer_2", "text_encoder", "text_encoder_2", "unet", "vae", "scheduler"),
            latent_to_rgb=(
                (0.3651, 0.4232, 0.4341),
                (-0.2533, -0.0042, 0.1068),
                (0.1076, 0.1111, -0.0362),
                (-0.3165, -0.2492, -0.2188),
            ),
            latent_bias=(0.1084, -0.0175, -0.0011),
        ),
    }
)

UNET = "model.diffusion_model."
VAE = "first_stage_model."
ONLY_THESE = "this version of Easel draws with Stable Diffusion 1.x and SDXL checkpoints"


class OtherKind(Exception):
    """A sound file that is no checkpoint of a family here. `what` it is, and the `advice` for the person."""

    def __init__(self, what: str, advice: str):
        super().__init__(f"{what}: {advice}")
        self.what = what
        self.advice = advice


@dataclass(frozen=True, slots=True)
class Recognised:
    """What a checkpoint's names and shapes tell. `parameters` counts the UNet's numbers."""

    family: str
    prediction: Prediction
    parameters: int


def recognise(header: Header) -> Recognised:
    """The family of a single file in the original layout. Raises `OtherKind`."""
    if not header.has(UNET):
        raise _other_kind(header)
    family = _family_by_text_encoder(header)
    if not header.has(f"{VAE}decoder."):
        raise OtherKind("a checkpoint without its VAE", "choose a full checkpoint, this one cannot decode pictures")
    first = header.shapes.get(f"{UNET}input_blocks.0.0.weight", ())
    check_input_channels(first[1] if len(first) == 4 else 0)
    prediction = "v_prediction" if family == "sdxl" and "v_pred" in header.shapes else "epsilon"
    return Recognised(family, prediction, header.count(UNET))


def check_input_channels(channels: int) -> None:
    """Raise `OtherKind` for UNets that read more than latents."""
    if channels == 9:
        raise OtherKind("an inpainting checkpoint", "this version draws with ordinary ones (4 input channels)")
    if channels != 4:
        raise OtherKind(
            f"a checkpoint with {shortened(channels)} input channels", "this version draws with those that have 4"
        )


def _family_by_text_encoder(header: Header) -> str:
    for part, title in (("double_blocks.", "Flux"), ("joint_blocks.", "Stable Diffusion 3")):
        if header.has(UNET + part):
            raise OtherKind(f"a {title} checkpoint", ONLY_THESE)
    if header.has("conditioner.embedders.1."):
        return "sdxl"
    if header.has("conditioner.embedders.0.model."):
        raise OtherKind("an SDXL refiner", "choose an SDXL base checkpoint")
    if header.has("cond_stage_model.model."):
        raise OtherKind("a Stable Diffusion 2.x checkpoint", ONLY_THESE)
    if header.has("cond_stage_model.transformer."):
        return "sd1"
    raise OtherKind("a UNet without its text encoder", "choose a full checkpoint")


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of file that is no checkpoint: any of `marks` in a tensor's name tells it."""

    what: str
    marks: tuple[str, ...]
    advice: str


_OTHER_KINDS = (
    _Kind(
        "a LoRA",
        ("lora_up.", "lora_down.", "lora_A.", "lora_B.", ".lora.", "hada_w1", "lokr_w"),
        "move it to the loras folder beside checkpoints",
    ),
    _Kind(
        "a ControlNet",
        ("control_model.", "controlnet_cond_embedding.", "input_hint_block."),
        "move it to the controlnet folder beside checkpoints",
    ),
    _Kind("a Flux transformer", ("double_blocks.",), ONLY_THESE),
    _Kind("a Stable Diffusion 3 transformer", ("joint_blocks.",), ONLY_THESE),
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
        "an upscaler", ("conv_first.weight", ".rdb1.", "RDB1."), "move it to the upscalers folder beside checkpoints"
    ),
)


def _other_kind(header: Header) -> OtherKind:
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
