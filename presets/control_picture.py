"""The request that makes a control picture."""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import model_validator

from presets import preprocess_fields
from presets.preprocessors import PARAMETERS, PREPROCESSORS, PreprocessSettings
from presets.request import FromPicture

if TYPE_CHECKING:
    from presets.installed import Installed


class ControlPicture(PreprocessSettings, FromPicture):
    """Make of a picture what a ControlNet follows: its edges, depth, poses."""

    title: ClassVar[str] = "Control picture"

    kind: Literal["control-picture"] = "control-picture"
    preprocessor: preprocess_fields.PreprocessorName = "canny"

    @model_validator(mode="after")
    def _is_not_too_large(self) -> "ControlPicture":
        self.check_size_for(self.image.size)
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
