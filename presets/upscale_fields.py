"""The vocabulary of requests that make pictures larger (see presets/fields.py)."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from presets.fields import cleaned, encodable, extra, real_number, whole_number

RESAMPLERS = ("lanczos", "bicubic", "hamming", "bilinear", "box", "nearest")
"""Ways to another size that need no model, as Pillow names them. No model is found under these names."""

RESULT_PIXELS = 2**25
RESULT_SIDE = 16_384

UpscalerName = Annotated[
    str,
    Field(
        max_length=300,
        description="A model by its name in the list, or plain resampling: lanczos, bicubic, hamming, bilinear, box or "
        "nearest. Empty means the one that ships.",
        json_schema_extra=extra("E-UPSCALER", "Upscaler", "basic"),
    ),
    BeforeValidator(cleaned),
    BeforeValidator(encodable),
]
Factor = Annotated[
    float,
    Field(
        ge=1,
        le=8,
        description="How many times as wide and as high. A model is used as often as it takes, and what is too much "
        "is resampled.",
        json_schema_extra=extra("E-FACTOR", "Factor", "basic", step=0.25),
    ),
    BeforeValidator(real_number),
]
Tile = Annotated[
    int,
    Field(
        ge=64,
        le=4096,
        description="The model sees squares of so many pixels, one after the other. Smaller ones need less memory.",
        json_schema_extra=extra("E-TILE", "Tile", "advanced", step=16, unit="px"),
    ),
    BeforeValidator(whole_number),
]
Overlap = Annotated[
    int,
    Field(
        ge=0,
        le=512,
        description="So much the tiles have in common, where one fades into the next. At most half a tile.",
        json_schema_extra=extra("E-TILE", "Overlap", "advanced", step=8, unit="px"),
    ),
    BeforeValidator(whole_number),
]
