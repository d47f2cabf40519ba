"""The request that redraws a picture."""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from presets import fields, loopback_fields, picture_fields
from presets.blending import Blend
from presets.controlnet import ControlUnits, Following
from presets.drawing import Redrawing
from presets.errors import InvalidField

if TYPE_CHECKING:
    from presets.inputs import Inputs

CURVES: Mapping[str, Callable[[float], float]] = MappingProxyType(
    {
        "linear": lambda share: share,
        "aggressive": lambda share: math.sin(share * math.pi / 2),
        "lazy": lambda share: 1 - math.cos(share * math.pi / 2),
    }
)
"""How far the strength has come after a share of the rounds, as AUTOMATIC1111's script "Loopback" has it."""


class ImageToImage(Redrawing, Following):
    """Redraw a picture as told in words."""

    title: ClassVar[str] = "Image to image"
    takes_several: ClassVar[bool] = True

    kind: Literal["image-to-image"] = "image-to-image"
    resize_mode: picture_fields.ResizeMode = "crop"
    units: ControlUnits = ()
    rounds: loopback_fields.Rounds = 1
    final_strength: loopback_fields.FinalStrength = 0.0
    strength_curve: loopback_fields.StrengthCurve = "linear"
    blend: Blend = ()

    @model_validator(mode="after")
    def _each_round_leaves_a_step(self) -> "ImageToImage":
        if any(int(self.steps * strength) < 1 for strength in self.strengths[1:]):
            raise PydanticCustomError(
                "each_round_leaves_a_step",
                "Final strength {strength} of {steps} steps leaves no step to do; it takes at least {least}.",
                {
                    "field": "final_strength",
                    "strength": f"{self.final_strength:g}",
                    "steps": self.steps,
                    "least": f"{-(-100 // self.steps) / 100:g}",
                },
            )
        return self

    def examined(self, inputs: "Inputs") -> "ImageToImage":
        """Raises `InvalidField` for a place in the blend without a picture, too."""
        for number, one in enumerate(self.blend, start=1):
            if one.picture is None:
                message = f"Blend {number} has no picture: choose one, or leave it out."
                raise InvalidField("blend", message, code="E-IMAGE")
        return super().examined(inputs)

    @property
    def strengths(self) -> tuple[float, ...]:
        """The denoising strength of each round."""
        if not self.final_strength:
            return (self.strength,) * self.rounds
        change = self.final_strength - self.strength
        shares = (number / (self.rounds - 1) for number in range(1, self.rounds))
        later = (self.strength + change * CURVES[self.strength_curve](share) for share in shares)
        return self.strength, *(round(strength, 6) for strength in later)

    def round(self, number: int) -> "ImageToImage":
        """The request that makes round `number`, from 0, of this (resolved) one of a single picture: its strength, and
        a seed of its own, but with the picture of the first."""
        seed = (self.seed + number) % (fields.SEED_MAXIMUM + 1)
        return self.model_copy(update={"strength": self.strengths[number], "seed": seed, "rounds": 1})

    @property
    def _share_of_steps(self) -> float:
        return sum(self.strengths)

    @property
    def without_effect(self) -> frozenset[str]:
        if self.rounds > 1:
            return frozenset() if self.final_strength else frozenset({"strength_curve"})
        return frozenset({"rounds", "final_strength", "strength_curve"})
