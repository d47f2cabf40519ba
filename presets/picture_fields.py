"""The vocabulary of requests that are given a picture, a mask or a new frame (see presets/fields.py)."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from presets.fields import SIDE_STEP, Side, extra, real_number, whole_number
from presets.images import ImageRef

Picture = Annotated[
    ImageRef,
    Field(
        description="The picture to begin with: PNG, JPEG, WebP, AVIF or GIF.",
        json_schema_extra=extra("E-IMAGE", "Picture", "basic", picture=True),
    ),
]
Strength = Annotated[
    float,
    Field(
        ge=0.01,
        le=1,
        description="How much is redrawn: little keeps the picture, 1 keeps next to nothing. So many of the steps are "
        "done.",
        json_schema_extra=extra("E-STRENGTH", "Denoising strength", "basic", step=0.01),
    ),
    BeforeValidator(real_number),
]
ResizeMode = Annotated[
    Literal["crop", "stretch", "fill", "latent"],
    Field(
        description="How the picture comes to another shape: crop what is over, stretch, fill up at the edges, or "
        "stretch in the model's own latents.",
        json_schema_extra=extra("E-API-ARGS", "Resize", "advanced"),
    ),
]
PictureWidth = Annotated[
    Side | None,
    Field(
        description="Pixels, a multiple of 8. Empty means the picture's own, as near as may be.",
        json_schema_extra=extra("E-SIZE", "Width", "advanced", step=SIDE_STEP, unit="px"),
    ),
]
PictureHeight = Annotated[
    Side | None,
    Field(
        description="Pixels, a multiple of 8. Empty means the picture's own, as near as may be.",
        json_schema_extra=extra("E-SIZE", "Height", "advanced", step=SIDE_STEP, unit="px"),
    ),
]
Mask = Annotated[
    ImageRef | None,
    Field(
        description="What is redrawn: white, or what is painted on a transparent picture. As large as the picture.",
        json_schema_extra=extra("E-MASK", "Mask", "basic", picture=True),
    ),
]
MaskInvert = Annotated[
    bool,
    Field(
        strict=True,
        description="Redraw all but what is painted.",
        json_schema_extra=extra("E-API-ARGS", "Invert the mask", "basic"),
    ),
]
MaskSoft = Annotated[
    bool,
    Field(
        strict=True,
        description="How light the mask is says how strongly each place is redrawn, also where it fades: white wholly, "
        "grey in the last steps alone (differential diffusion). Else what is light from half on is redrawn.",
        json_schema_extra=extra("E-MASK", "Soft mask", "basic"),
    ),
]
MaskGrow = Annotated[
    int,
    Field(
        ge=0,
        le=256,
        description="So far around what is painted all is redrawn, too.",
        json_schema_extra=extra("E-MASK", "Grow the mask", "advanced", step=1, unit="px"),
    ),
    BeforeValidator(whole_number),
]
MaskBlur = Annotated[
    int,
    Field(
        ge=0,
        le=256,
        description="Around that, so far the new fades into the old. Beyond it not one pixel changes.",
        json_schema_extra=extra("E-MASK", "Feather the mask", "advanced", step=1, unit="px"),
    ),
    BeforeValidator(whole_number),
]
Area = Annotated[
    Literal["whole", "masked"],
    Field(
        description="What the model sees: the whole picture, or the masked part alone in its own native size, for "
        "detail and in large pictures.",
        json_schema_extra=extra("E-API-ARGS", "Area", "basic"),
    ),
]
Padding = Annotated[
    int,
    Field(
        ge=0,
        le=512,
        description="How much around the masked part the model sees.",
        json_schema_extra=extra("E-MASK", "Padding", "advanced", step=1, unit="px"),
    ),
    BeforeValidator(whole_number),
]
Content = Annotated[
    Literal["original", "fill", "noise", "nothing"],
    Field(
        description="What the masked part begins as, where the strength is under 1: the original, the colours around "
        "it, noise, or nothing.",
        json_schema_extra=extra("E-API-ARGS", "Masked content", "advanced"),
    ),
]
_Extension = Annotated[int, Field(ge=0, le=2048), BeforeValidator(whole_number)]
ExtendLeft = Annotated[
    _Extension,
    Field(
        description="So much more at the left, drawn anew.",
        json_schema_extra=extra("E-SIZE", "Extend left", "advanced", step=1, unit="px"),
    ),
]
ExtendRight = Annotated[
    _Extension,
    Field(
        description="So much more at the right, drawn anew.",
        json_schema_extra=extra("E-SIZE", "Extend right", "advanced", step=1, unit="px"),
    ),
]
ExtendTop = Annotated[
    _Extension,
    Field(
        description="So much more at the top, drawn anew.",
        json_schema_extra=extra("E-SIZE", "Extend top", "advanced", step=1, unit="px"),
    ),
]
ExtendBottom = Annotated[
    _Extension,
    Field(
        description="So much more at the bottom, drawn anew.",
        json_schema_extra=extra("E-SIZE", "Extend bottom", "advanced", step=1, unit="px"),
    ),
]
