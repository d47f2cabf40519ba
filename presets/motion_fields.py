"""The vocabulary of animations: pictures that move, drawn by a motion module (see presets/fields.py)."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from presets.fields import encodable, extra, real_number, whole_number

MotionModuleName = Annotated[
    str,
    Field(
        max_length=300,
        description="An AnimateDiff motion module of the list: the picture then moves. Empty means it does not.",
        json_schema_extra=extra("E-MOTION-UNKNOWN", "Motion module", "advanced"),
    ),
    BeforeValidator(encodable),
]
Frames = Annotated[
    int,
    Field(
        ge=2,
        le=32,
        description="Of an animation. Most motion modules were trained on 16; each has a most that it can do.",
        json_schema_extra=extra("E-MOTION", "Frames", "advanced", step=1),
    ),
    BeforeValidator(whole_number),
]
FramesPerSecond = Annotated[
    float,
    Field(
        ge=1,
        le=60,
        description="How fast an animation is shown.",
        json_schema_extra=extra("E-MOTION", "Frames a second", "advanced", step=1),
    ),
    BeforeValidator(real_number),
]
