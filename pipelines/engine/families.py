"""Families of models: what is different between them, as rows of one table."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

Prediction = Literal["epsilon", "v_prediction", "flow"]
Conditioning = Literal["clip", "clip-pair", "clips-and-t5", "clip-and-t5"]
"""How words reach the denoiser: hidden states of one CLIP; of two beside each other with the second's pooled state; of
two CLIPs, padded, and T5 in one row with both pooled states; of T5 with CLIP's pooled state."""

CONFIGS = Path(__file__).parent / "configs"
"""Component configs for each family that comes in single files, and the CLIP tokenizer that they share."""

Colours = tuple[tuple[float, float, float], ...]


@dataclass(frozen=True, slots=True)
class Variant:
    """Models of a family that read more than latents: `what` they are, what they are `made_for`, and the diffusers
    class of each task that they can do."""

    name: str
    what: str
    made_for: str
    pipelines: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Family:
    """A row of `FAMILIES`.

    `pipelines` maps a task to the name of its diffusers class, `components` each part to the name of its class (in
    diffusers, or transformers for text encoders and tokenizers; "scheduler" to the one used where a file names none),
    in the order in which they are loaded. Of these, a folder may lack the `optional` ones. `options` is what pipelines
    are told beside their components. `variants` are by the denoiser's input channels. `made_for` says of a family
    that cannot make pictures from words what it does. `latent_to_rgb` has one row (red, green, blue) per latent
    channel: scaled latents times the rows plus `latent_bias` are roughly the picture in [-1, 1]. `native_size` is
    (width, height) in pixels, `grid` the pixels that sides are multiples of. `half` is the precision of 16 bits that
    its numbers fit into. `single_files` tells whether checkpoints in one file can be loaded, `soft_masks` whether
    inpainting may be given another mask at each step.
    """

    name: str
    title: str
    native_size: tuple[int, int]
    pipelines: Mapping[str, str]
    components: Mapping[str, str]
    conditioning: Conditioning
    latent_to_rgb: Colours
    latent_bias: tuple[float, float, float]
    input_channels: int = 4
    grid: int = 8
    half: Literal["float16", "bfloat16"] = "float16"
    variants: Mapping[int, Variant] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    optional: frozenset[str] = frozenset()
    made_for: str = ""
    single_files: bool = True
    soft_masks: bool = True

    @property
    def configs(self) -> Path:
        return CONFIGS / self.name

    @property
    def denoiser(self) -> str:
        """The name of the component that removes the noise."""
        return "unet" if "unet" in self.components else "transformer"

    @property
    def latent_channels(self) -> int:
        return len(self.latent_to_rgb)

    def fitting(self, dtype: str) -> str:
        """`dtype`, or the other precision of 16 bits where this family's numbers do not fit into it."""
        return self.half if dtype == "float16" else dtype

    def variant(self, name: str) -> Variant | None:
        return next((variant for variant in self.variants.values() if variant.name == name), None)


_CLIP = {"tokenizer": "CLIPTokenizer", "text_encoder": "CLIPTextModel"}
_UNET = {"unet": "UNet2DConditionModel", "vae": "AutoencoderKL"}
_NO_CHECKER = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
_REPAINTS = "it repaints parts of a given picture"
_EDITS = "it changes a given picture as told in words"
_SD_PIPELINES = {
    "text-to-image": "StableDiffusionPipeline",
    "image-to-image": "StableDiffusionImg2ImgPipeline",
    "inpaint": "StableDiffusionInpaintPipeline",
    "controlnet": "StableDiffusionPipeline",
    "animation": "AnimateDiffPipeline",
}
_SD_VARIANTS = {
    8: Variant("pix2pix", "pix2pix", _EDITS, {"pix2pix": "StableDiffusionInstructPix2PixPipeline"}),
    9: Variant("inpaint", "inpainting", _REPAINTS, {"inpaint": "StableDiffusionInpaintPipeline"}),
}

# The factors of all families are the fits that ComfyUI ships in comfy/latent_formats.py.
_SD_COLOURS: Colours = (
    (0.3512, 0.2297, 0.3227),
    (0.3250, 0.4974, 0.2350),
    (-0.2829, 0.1762, 0.2721),
    (-0.2120, -0.2616, -0.7177),
)
_SDXL_COLOURS: Colours = (
    (0.3651, 0.4232, 0.4341),
    (-0.2533, -0.0042, 0.1068),
    (0.1076, 0.1111, -0.0362),
    (-0.3165, -0.2492, -0.2188),
)
_SDXL_BIAS = (0.1084, -0.0175, -0.0011)

_SD1 = Family(
    name="sd1",
    title="Stable Diffusion 1.x",
    native_size=(512, 512),
    pipelines=_SD_PIPELINES,
    components={**_CLIP, **_UNET, "scheduler": "PNDMScheduler"},
    conditioning="clip",
    latent_to_rgb=_SD_COLOURS,
    latent_bias=(0.0, 0.0, 0.0),
    variants=_SD_VARIANTS,
    options=_NO_CHECKER,
)
_SD2 = Family(
    name="sd2",
    title="Stable Diffusion 2.x",
    native_size=(512, 512),
    pipelines=_SD_PIPELINES,
    components={**_CLIP, **_UNET, "scheduler": "DDIMScheduler"},
    conditioning="clip",
    latent_to_rgb=_SD_COLOURS,
    latent_bias=(0.0, 0.0, 0.0),
    variants=_SD_VARIANTS,
    options=_NO_CHECKER,
)
_SDXL = Family(
    name="sdxl",
    title="Stable Diffusion XL",
    native_size=(1024, 1024),
    pipelines={
        "text-to-image": "StableDiffusionXLPipeline",
        "image-to-image": "StableDiffusionXLImg2ImgPipeline",
        "inpaint": "StableDiffusionXLInpaintPipeline",
        "controlnet": "StableDiffusionXLPipeline",
        "animation": "AnimateDiffSDXLPipeline",
    },
    components={
        "tokenizer": "CLIPTokenizer",
        "tokenizer_2": "CLIPTokenizer",
        "text_encoder": "CLIPTextModel",
        "text_encoder_2": "CLIPTextModelWithProjection",
        **_UNET,
        "scheduler": "EulerDiscreteScheduler",
    },
    conditioning="clip-pair",
    latent_to_rgb=_SDXL_COLOURS,
    latent_bias=_SDXL_BIAS,
    variants={
        8: Variant("pix2pix", "pix2pix", _EDITS, {"pix2pix": "StableDiffusionXLInstructPix2PixPipeline"}),
        9: Variant("inpaint", "inpainting", _REPAINTS, {"inpaint": "StableDiffusionXLInpaintPipeline"}),
    },
    options={"add_watermarker": False},
)
_SDXL_REFINER = Family(
    name="sdxl-refiner",
    title="Stable Diffusion XL refiner",
    native_size=(1024, 1024),
    pipelines={"image-to-image": "StableDiffusionXLImg2ImgPipeline"},
    components={
        "tokenizer_2": "CLIPTokenizer",
        "text_encoder_2": "CLIPTextModelWithProjection",
        **_UNET,
        "scheduler": "EulerDiscreteScheduler",
    },
    conditioning="clip-pair",
    latent_to_rgb=_SDXL_COLOURS,
    latent_bias=_SDXL_BIAS,
    options={"tokenizer": None, "text_encoder": None, "requires_aesthetics_score": True, "add_watermarker": False},
    made_for="it adds detail to a given picture",
)
_SD3 = Family(
    name="sd3",
    title="Stable Diffusion 3.x",
    native_size=(1024, 1024),
    pipelines={
        "text-to-image": "StableDiffusion3Pipeline",
        "image-to-image": "StableDiffusion3Img2ImgPipeline",
        "inpaint": "StableDiffusion3InpaintPipeline",
    },
    components={
        "tokenizer": "CLIPTokenizer",
        "tokenizer_2": "CLIPTokenizer",
        "tokenizer_3": "T5Tokenizer",
        "text_encoder": "CLIPTextModelWithProjection",
        "text_encoder_2": "CLIPTextModelWithProjection",
        "text_encoder_3": "T5EncoderModel",
        "transformer": "SD3Transformer2DModel",
        "vae": "AutoencoderKL",
        "scheduler": "FlowMatchEulerDiscreteScheduler",
    },
    conditioning="clips-and-t5",
    latent_to_rgb=(
        (-0.0922, -0.0175, 0.0749),
        (0.0311, 0.0633, 0.0954),
        (0.1994, 0.0927, 0.0458),
        (0.0856, 0.0339, 0.0902),
        (0.0587, 0.0272, -0.0496),
        (-0.0006, 0.1104, 0.0309),
        (0.0978, 0.0306, 0.0427),
        (-0.0042, 0.1038, 0.1358),
        (-0.0194, 0.0020, 0.0669),
        (-0.0488, 0.0130, -0.0268),
        (0.0922, 0.0988, 0.0951),
        (-0.0278, 0.0524, -0.0542),
        (0.0332, 0.0456, 0.0895),
        (-0.0069, -0.0030, -0.0810),
        (-0.0596, -0.0465, -0.0293),
        (-0.1448, -0.1463, -0.1189),
    ),
    latent_bias=(0.2394, 0.2135, 0.1925),
    input_channels=16,
    grid=16,
    half="bfloat16",
    optional=frozenset({"tokenizer_3", "text_encoder_3"}),
    single_files=False,
)
_FLUX = Family(
    name="flux",
    title="Flux.1",
    native_size=(1024, 1024),
    pipelines={
        "text-to-image": "FluxPipeline",
        "image-to-image": "FluxImg2ImgPipeline",
        "inpaint": "FluxInpaintPipeline",
    },
    components={
        "tokenizer": "CLIPTokenizer",
        "tokenizer_2": "T5Tokenizer",
        "text_encoder": "CLIPTextModel",
        "text_encoder_2": "T5EncoderModel",
        "transformer": "FluxTransformer2DModel",
        "vae": "AutoencoderKL",
        "scheduler": "FlowMatchEulerDiscreteScheduler",
    },
    soft_masks=False,
    conditioning="clip-and-t5",
    latent_to_rgb=(
        (-0.0346, 0.0244, 0.0681),
        (0.0034, 0.0210, 0.0687),
        (0.0275, -0.0668, -0.0433),
        (-0.0174, 0.0160, 0.0617),
        (0.0859, 0.0721, 0.0329),
        (0.0004, 0.0383, 0.0115),
        (0.0405, 0.0861, 0.0915),
        (-0.0236, -0.0185, -0.0259),
        (-0.0245, 0.0250, 0.1180),
        (0.1008, 0.0755, -0.0421),
        (-0.0515, 0.0201, 0.0011),
        (0.0428, -0.0012, -0.0036),
        (0.0817, 0.0765, 0.0749),
        (-0.1264, -0.0522, -0.1103),
        (-0.0280, -0.0881, -0.0499),
        (-0.1262, -0.0982, -0.0778),
    ),
    latent_bias=(-0.0329, -0.0718, -0.0851),
    input_channels=64,
    grid=16,
    half="bfloat16",
    variants={
        384: Variant("inpaint", "Fill", _REPAINTS, {"inpaint": "FluxFillPipeline"}),
        128: Variant("control", "control", "it follows a control picture", {"control": "FluxControlPipeline"}),
    },
    single_files=False,
)

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {family.name: family for family in (_SD1, _SD2, _SDXL, _SDXL_REFINER, _SD3, _FLUX)}
)
