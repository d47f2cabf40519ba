"""The names of pictures that requests are given (`presets/inputs.py` keeps them), and what such pictures may be."""

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from presets.errors import InvalidField

FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "GIF")
FILE_LIMIT = 32 * 2**20
"""Bytes."""
PIXEL_LIMIT = 2**24
SIDE_LIMIT = 8192
SIDE_LEAST = 16
RATIO_LIMIT = 20


class ImageRef(BaseModel):
    """A picture that is given: `sha256` is that of its pixels (`presets.inputs.digest`), sides are in pixels."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="Of the pixels, 64 hexadecimal digits.")
    width: int = Field(ge=SIDE_LEAST, le=SIDE_LIMIT)
    height: int = Field(ge=SIDE_LEAST, le=SIDE_LIMIT)

    _notes: tuple[str, ...] = PrivateAttr(())

    def __eq__(self, other: object) -> bool:
        """Equal are references to the same pixels, whatever is noted of the files they came in."""
        return isinstance(other, ImageRef) and self.sha256 == other.sha256 and self.size == other.size

    def __hash__(self) -> int:
        return hash(self.sha256)

    def __str__(self) -> str:
        return f"{self.width} × {self.height}, {self.sha256[:10]}"

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.width, self.height

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said of the file that the picture came in; known only where it came in."""
        return self._notes


class ImageMissing(InvalidField):
    """A request names a picture that is not kept here (any more)."""

    code = "E-IMAGE-MISSING"

    def __init__(self, field: str, reference: ImageRef):
        super().__init__(
            field,
            f"The picture that was given ({reference}) is not in the folder of inputs any more; choose it again.",
        )
