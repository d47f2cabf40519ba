"""The request that makes a control picture."""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from presets import preprocess_fields
from presets.images import PIXEL_LIMIT, SIDE_LIMIT
from presets.preprocessors import PARAMETERS, PREPROCESSORS, PreprocessSettings
from presets.request import FromPicture

if TYPE_CHECKING:
    from presets.installed import Installed

DETECTOR_PIXELS = 2048 * 2048
"""That a detector looks at, at most: it holds some hundred numbers for each."""


class ControlPicture(PreprocessSettings, FromPicture):
    """Make of a picture what a ControlNet follows: its edges, depth, poses."""

    title: ClassVar[str] = "Control picture"

    kind: Literal["control-picture"] = "control-picture"
    preprocessor: preprocess_fields.PreprocessorName = "canny"

    @model_validator(mode="after")
    def _is_not_too_large(self) -> "ControlPicture":
        width, height = self.picture_size
        limit = DETECTOR_PIXELS if PREPROCESSORS[self.preprocessor].weights else PIXEL_LIMIT
        if width * height > limit or max(width, height) > SIDE_LIMIT:
            raise PydanticCustomError(
                "is_not_too_large",
                "The control picture would be {size} pixels; {title} makes up to {pixels} Mpx, {side} a side. Choose a "
                "smaller resolution.",
                {
                    "field": "resolution",
                    "size": f"{width} × {height}",
                    "title": PREPROCESSORS[self.preprocessor].title,
                    "pixels": f"{limit / 1e6:.1f}",
                    "side": f"{SIDE_LIMIT:,}",
                },
            )
        return self

    def settled(self, installed: "Installed") -> "ControlPicture":
        installed.check_preprocessor(self.preprocessor)
        return self

    @property
    def picture_size(self) -> tuple[int, int]:
        return self.size_for(self.image.size)

    @property
    def without_effect(self) -> frozenset[str]:
        return frozenset(PARAMETERS) - self.parameters.keys()

    @property
    def caption(self) -> str:
        return f"{self.title}: {PREPROCESSORS[self.preprocessor].title}"

    @property
    def searched(self) -> tuple[str, ...]:
        return self.title, PREPROCESSORS[self.preprocessor].title, self.preprocessor
