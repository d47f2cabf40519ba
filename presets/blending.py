"""Pictures that are mixed into the one that is redrawn: a list of parts of a request (see presets/fields.py)."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from presets.fields import extra, real_number
from presets.images import ImageRef

BLENDED = 3

BlendedPicture = Annotated[
    ImageRef | None,
    Field(
        description="What is mixed in: PNG, JPEG, WebP, AVIF or GIF.",
        json_schema_extra=extra("E-IMAGE", "Mixed in", "basic", picture=True),
    ),
]
Share = Annotated[
    float,
    Field(
        ge=0,
        le=10,
        description="How much of it, where the picture itself has 1; 0 is nothing.",
        json_schema_extra=extra("E-WEIGHT", "Share", "basic", step=0.05),
    ),
    BeforeValidator(real_number),
]


class Blended(BaseModel):
    """One picture that is mixed in. A preset may leave it out; what is drawn needs it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    picture: BlendedPicture = None
    share: Share = 1.0

    def __str__(self) -> str:
        return f"{self.picture or 'a picture'} {self.share:g}"


Blend = Annotated[
    tuple[Blended, ...],
    Field(
        max_length=BLENDED,
        description="Pictures that are mixed into the one that is redrawn, each with its share.",
        json_schema_extra=extra("E-BLEND", "Blend", "advanced", part="blend"),
    ),
]
