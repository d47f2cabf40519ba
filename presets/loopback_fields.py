"""The vocabulary of loopback: a picture redrawn in rounds, each on what the one before drew (see presets/fields.py)."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from presets.fields import extra, real_number, whole_number

Rounds = Annotated[
    int,
    Field(
        ge=1,
        le=32,
        description="So many times it is redrawn, each time beginning with what was drawn last; the last one is kept.",
        json_schema_extra=extra("E-ROUNDS", "Rounds", "advanced", step=1),
    ),
    BeforeValidator(whole_number),
]
FinalStrength = Annotated[
    float,
    Field(
        ge=0,
        le=1,
        description="The denoising strength of the last round. 0 means the same in all.",
        json_schema_extra=extra("E-STRENGTH", "Final strength", "advanced", step=0.01),
    ),
    BeforeValidator(real_number),
]
StrengthCurve = Annotated[
    Literal["linear", "aggressive", "lazy"],
    Field(
        description="How the strength comes to the final one: evenly, early or late.",
        json_schema_extra=extra("E-API-ARGS", "Strength curve", "advanced"),
    ),
]
