"""The vocabulary of faces restored (see presets/fields.py)."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from presets.fields import cleaned, encodable, extra, real_number

FACES_SIDE = 32
"""Pixels of a side: in smaller pictures no face can be found."""

FaceRestorerName = Annotated[
    str,
    Field(
        max_length=300,
        description="A model such as GFPGAN that draws the faces in the finished picture anew. Empty means none.",
        json_schema_extra=extra("E-FACE-RESTORER", "Face restorer", "basic"),
    ),
    BeforeValidator(cleaned),
    BeforeValidator(encodable),
]
FaceStrength = Annotated[
    float,
    Field(
        ge=0,
        le=1,
        description="How much of the restored faces is mixed in: 0 leaves them as they are, 1 takes them whole.",
        json_schema_extra=extra("E-STRENGTH", "Face strength", "basic", step=0.05),
    ),
    BeforeValidator(real_number),
]
