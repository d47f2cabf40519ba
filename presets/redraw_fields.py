"""The vocabulary of what is drawn anew at a larger size, tile by tile (see presets/fields.py)."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from presets.fields import SIDE_STEP, Side, cleaned, encodable, extra, real_number

RedrawStrength = Annotated[
    float,
    Field(
        ge=0,
        le=1,
        description="How much a checkpoint draws anew once the picture is larger, tile by tile: 0 nothing, 0.2 to 0.4 "
        "adds detail, more changes what is seen. So many of the steps are done.",
        json_schema_extra=extra("E-STRENGTH", "Redraw strength", "basic", step=0.01),
    ),
    BeforeValidator(real_number),
]
RedrawTile = Annotated[
    Side | None,
    Field(
        description="Squares of so many pixels are drawn, one by one. Empty means the checkpoint's native size.",
        json_schema_extra=extra("E-TILE", "Drawn tile", "advanced", step=SIDE_STEP, unit="px"),
    ),
]
RedrawOverlap = Annotated[
    float,
    Field(
        ge=0,
        le=0.5,
        description="This share of its side a drawn tile has at least in common with the next, where one fades into "
        "the other.",
        json_schema_extra=extra("E-TILE", "Overlap of drawn tiles", "advanced", step=0.05),
    ),
    BeforeValidator(real_number),
]
KeepColours = Annotated[
    bool,
    Field(
        strict=True,
        description="Keep the broad colours of what was made larger: only detail is new, and tiles do not drift apart.",
        json_schema_extra=extra("E-API-ARGS", "Keep the colours", "advanced"),
    ),
]
TileControl = Annotated[
    str,
    Field(
        max_length=300,
        description="A control model, best a tile ControlNet, that keeps each drawn tile to what it was, so that the "
        "strength can be higher. Empty means none.",
        json_schema_extra=extra("E-CONTROL-UNKNOWN", "Tile control", "advanced"),
    ),
    BeforeValidator(cleaned),
    BeforeValidator(encodable),
]
TileControlWeight = Annotated[
    float,
    Field(
        ge=0,
        le=2,
        description="How strongly the tile is held to what it was.",
        json_schema_extra=extra("E-WEIGHT", "Tile control weight", "advanced", step=0.05),
    ),
    BeforeValidator(real_number),
]
