"""The vocabulary of units that have a picture followed (see presets/fields.py)."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from presets.fields import SIDE_STEP, Side, encodable, extra, real_number
from presets.images import ImageRef

UNITS = 3

ControlPicture = Annotated[
    ImageRef | None,
    Field(
        description="What is to be followed, or what a control picture is made of: PNG, JPEG, WebP, AVIF or GIF.",
        json_schema_extra=extra("E-IMAGE", "Control picture", "basic", picture=True),
    ),
]
ControlName = Annotated[
    str,
    Field(
        max_length=300,
        description="What follows it: a ControlNet or T2I-Adapter of the list. Empty means the first that fits the "
        "checkpoint.",
        json_schema_extra=extra("E-CONTROL-UNKNOWN", "Control model", "basic"),
    ),
    BeforeValidator(encodable),
]
Weight = Annotated[
    float,
    Field(
        ge=0,
        le=2,
        description="How strongly it is followed; 0 not at all.",
        json_schema_extra=extra("E-WEIGHT", "Weight", "basic", step=0.05),
    ),
    BeforeValidator(real_number),
]
Start = Annotated[
    float,
    Field(
        ge=0,
        le=1,
        description="From this share of the steps on it is followed.",
        json_schema_extra=extra("E-CONTROL", "Start", "basic", step=0.01),
    ),
    BeforeValidator(real_number),
]
End = Annotated[
    float,
    Field(
        ge=0,
        le=1,
        description="Up to this share of the steps.",
        json_schema_extra=extra("E-CONTROL", "End", "basic", step=0.01),
    ),
    BeforeValidator(real_number),
]
Mode = Annotated[
    Literal["balanced", "prompt", "control"],
    Field(
        description="What counts more where the two disagree: neither, the prompt, or the control picture.",
        json_schema_extra=extra("E-CONTROL", "Mode", "basic"),
    ),
]
ControlResize = Annotated[
    Literal["crop", "stretch", "fill"],
    Field(
        description="How the picture comes to the shape that is drawn: crop what is over, stretch, or fill up at the "
        "edges.",
        json_schema_extra=extra("E-CONTROL", "Resize", "advanced"),
    ),
]
PixelPerfect = Annotated[
    bool,
    Field(
        strict=True,
        description="Make the control picture in just the size that is drawn, whatever the resolution says.",
        json_schema_extra=extra("E-API-ARGS", "Pixel perfect", "advanced"),
    ),
]
UnionType = Annotated[
    Literal["automatic", "pose", "depth", "soft-edge", "lines", "normal", "segments", "tile", "repaint"],
    Field(
        description="Of a ControlNet union alone: what the control picture shows. Automatic goes by the preprocessor.",
        json_schema_extra=extra("E-CONTROL", "Union type", "advanced"),
    ),
]
DrawnWidth = Annotated[
    Side | None,
    Field(
        description="Pixels, a multiple of 8. Empty means the checkpoint's native area in the control picture's shape.",
        json_schema_extra=extra("E-SIZE", "Width", "advanced", step=SIDE_STEP, unit="px"),
    ),
]
DrawnHeight = Annotated[
    Side | None,
    Field(
        description="Pixels, a multiple of 8. Empty means the checkpoint's native area in the control picture's shape.",
        json_schema_extra=extra("E-SIZE", "Height", "advanced", step=SIDE_STEP, unit="px"),
    ),
]
