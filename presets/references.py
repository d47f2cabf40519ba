"""Pictures whose manner is drawn in, read by IP-Adapters: a list of parts of a request (see presets/fields.py)."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from presets.fields import encodable, extra, real_number
from presets.images import ImageRef

REFERENCES = 3

ReferencePicture = Annotated[
    ImageRef | None,
    Field(
        description="What is drawn like: PNG, JPEG, WebP, AVIF or GIF. Its middle square is looked at.",
        json_schema_extra=extra("E-IMAGE", "Reference", "basic", picture=True),
    ),
]
IpAdapterName = Annotated[
    str,
    Field(
        max_length=300,
        description="What reads it: an IP-Adapter of the list. Empty means the first that fits the checkpoint.",
        json_schema_extra=extra("E-REFERENCE-UNKNOWN", "IP-Adapter", "basic"),
    ),
    BeforeValidator(encodable),
]
Weight = Annotated[
    float,
    Field(
        ge=0,
        le=2,
        description="How strongly it counts beside the prompt; 0 not at all. Those of several add up.",
        json_schema_extra=extra("E-WEIGHT", "Weight", "basic", step=0.05),
    ),
    BeforeValidator(real_number),
]


class StyleReference(BaseModel):
    """One picture that is drawn like. A preset may leave out the picture; what is drawn needs it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    picture: ReferencePicture = None
    adapter: IpAdapterName = ""
    weight: Weight = 0.6

    def __str__(self) -> str:
        return f"{self.adapter or 'the first that fits'} {self.weight:g}"


References = Annotated[
    tuple[StyleReference, ...],
    Field(
        max_length=REFERENCES,
        description="Pictures whose manner is drawn in, each with the IP-Adapter that reads it and its weight.",
        json_schema_extra=extra("E-REFERENCE", "Style references", "advanced", part="style reference"),
    ),
]
