"""Requests that draw what control pictures show: up to three units, each with its picture, preprocessor and model."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from presets import control_fields, fields, sizes
from presets.drawing import Drawing
from presets.errors import renamed_field
from presets.preprocessors import PreprocessSettings
from presets.request import Request

if TYPE_CHECKING:
    from presets.installed import Installed


class ControlUnit(PreprocessSettings):
    """One picture that is followed. A preset may leave out the picture; what is drawn needs it."""

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


class FromUnits(Request):
    """What all kinds share that follow control pictures."""

    units: Annotated[
        tuple[ControlUnit, ...],
        Field(
            min_length=1,
            max_length=control_fields.UNITS,
            description="The pictures that are followed, each with its settings.",
            json_schema_extra=fields.extra("E-CONTROL", "Control units", "basic", part="control unit"),
        ),
    ]


class ControlNet(Drawing, FromUnits):
    """Draw what control pictures show: outlines, depth, a pose."""

    title: ClassVar[str] = "ControlNet"

    kind: Literal["controlnet"] = "controlnet"
    width: control_fields.DrawnWidth = None
    height: control_fields.DrawnHeight = None

    def settled(self, installed: "Installed") -> "ControlNet":
        settled = super().settled(installed)
        with renamed_field("preprocessor", "units"):
            for unit in settled.units:
                installed.check_preprocessor(unit.preprocessor)
        names = installed.controls([unit.control for unit in settled.units], settled.checkpoint)
        units = tuple(unit.model_copy(update={"control": names[unit.control]}) for unit in settled.units)
        return settled.model_copy(update={"units": units})

    def _size(self, native_size: tuple[int, int], grid: int) -> tuple[int, int]:
        shown = next((unit.picture for unit in self.units if unit.picture is not None), None)
        if shown is None or (self.width and self.height):
            return super()._size(native_size, grid)
        return sizes.shaped_as(shown.size, (self.width, self.height), native_size, grid)

    @property
    def searched(self) -> tuple[str, ...]:
        return (*super().searched, *(unit.control for unit in self.units))
