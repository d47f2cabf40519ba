"""Requests that draw what control pictures show: up to three units, each with its picture, preprocessor and model.

ControlNet draws it from noise. What draws on a given picture can follow others as well, or the outlines, depth ... of
that picture itself.
"""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, TypeVar

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from presets import control_fields, fields, sizes
from presets.drawing import Drawing
from presets.errors import InvalidField, renamed_field
from presets.preprocessors import PreprocessSettings
from presets.request import FromPicture, Request

if TYPE_CHECKING:
    from presets.inputs import Inputs
    from presets.installed import Installed


FollowingType = TypeVar("FollowingType", bound="Following")


class ControlUnit(PreprocessSettings):
    """One picture that is followed. A preset may leave out the picture."""

    picture: control_fields.ControlPicture = None
    control: control_fields.ControlName = ""
    weight: control_fields.Weight = 1.0
    start: control_fields.Start = 0.0
    end: control_fields.End = 1.0
    mode: control_fields.Mode = "balanced"
    resize_mode: control_fields.ControlResize = "crop"
    pixel_perfect: control_fields.PixelPerfect = True
    union_type: control_fields.UnionType = "automatic"

    @model_validator(mode="after")
    def _starts_before_it_ends(self) -> "ControlUnit":
        if self.start >= self.end:
            raise PydanticCustomError(
                "starts_before_it_ends",
                "It starts at {start} and ends at {end}: the start must be before the end.",
                {"field": "start", "code": "E-CONTROL", "start": f"{self.start:g}", "end": f"{self.end:g}"},
            )
        return self

    @model_validator(mode="after")
    def _is_not_too_large(self) -> "ControlUnit":
        if self.picture is not None and not self.pixel_perfect:
            self.check_size_for(self.picture.size)
        return self

    def __str__(self) -> str:
        parts = [self.control or "the first that fits", f"{self.weight:g}"]
        if self.preprocessor != "none":
            parts.append(self.preprocessor)
        if (self.start, self.end) != (0, 1):
            parts.append(f"{self.start:.0%} to {self.end:.0%}")
        return " ".join(parts + ([f"({self.mode})"] if self.mode != "balanced" else []))

    @property
    def settings(self) -> PreprocessSettings:
        """What makes the control picture."""
        return PreprocessSettings.model_validate(self.model_dump(include=set(PreprocessSettings.model_fields)))


ControlUnits = Annotated[
    tuple[ControlUnit, ...],
    Field(
        max_length=control_fields.UNITS,
        description="The pictures that are followed, each with its settings; without one the given picture is.",
        json_schema_extra=fields.extra("E-CONTROL", "Control units", "advanced", part="control unit"),
    ),
]


class Following(Drawing):
    """What all kinds share that draw and follow control pictures, those of their `units`. Where a picture is given,
    units without one of their own follow that."""

    if TYPE_CHECKING:
        units: tuple[ControlUnit, ...]

    @model_validator(mode="after")
    def _own_control_pictures_are_not_too_large(self: FollowingType) -> FollowingType:
        image = self.image if isinstance(self, FromPicture) else None
        for unit in self.units:
            if image and unit.picture is None and not unit.pixel_perfect:
                unit.check_size_for(image.size)
        return self

    def settled(self: FollowingType, installed: "Installed") -> FollowingType:
        settled = super().settled(installed)
        with renamed_field("preprocessor", "units"):
            for unit in settled.units:
                installed.check_preprocessor(unit.preprocessor)
        names = installed.controls([unit.control for unit in settled.units], settled.checkpoint)
        units = tuple(unit.model_copy(update={"control": names[unit.control]}) for unit in settled.units)
        return settled.model_copy(update={"units": units})

    @property
    def searched(self) -> tuple[str, ...]:
        return (*super().searched, *(unit.control for unit in self.units))


class FromUnits(Request):
    """What all kinds share that need a control picture."""

    units: Annotated[
        tuple[ControlUnit, ...],
        Field(
            min_length=1,
            max_length=control_fields.UNITS,
            description="The pictures that are followed, each with its settings.",
            json_schema_extra=fields.extra("E-CONTROL", "Control units", "basic", part="control unit"),
        ),
    ]


class ControlNet(Following, FromUnits):
    """Draw what control pictures show: outlines, depth, a pose."""

    title: ClassVar[str] = "ControlNet"

    kind: Literal["controlnet"] = "controlnet"
    width: control_fields.DrawnWidth = None
    height: control_fields.DrawnHeight = None

    def examined(self, inputs: "Inputs") -> "ControlNet":
        """Raises `InvalidField` for a unit without a picture, too."""
        for number, unit in enumerate(self.units, start=1):
            if unit.picture is None:
                message = f"Control unit {number} has no picture: choose one, or leave the unit out."
                raise InvalidField("units", message, code="E-IMAGE")
        return super().examined(inputs)

    def _size(self, native_size: tuple[int, int], grid: int) -> tuple[int, int]:
        shown = next((unit.picture for unit in self.units if unit.picture is not None), None)
        if shown is None or (self.width and self.height):
            return super()._size(native_size, grid)
        return sizes.shaped_as(shown.size, (self.width, self.height), native_size, grid)
