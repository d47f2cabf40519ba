"""The request that makes pictures from words."""

from collections.abc import Hashable
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from presets import hires_fields, motion_fields
from presets.drawing import Drawing
from presets.errors import renamed_field
from presets.hires_fields import LATENT, SAME
from presets.samplers import SCHEDULES_OF

if TYPE_CHECKING:
    from presets.installed import Installed

_OWN = {"prompt", "negative_prompt", "seed", "loras", "styles"}
"""What may differ between pictures that are drawn at once."""
GRID = 16
"""Pixels that the sides of what is drawn on are multiples of, whatever the checkpoint's family."""


class TextToImage(Drawing):
    """Make pictures from words."""

    title: ClassVar[str] = "Text to image"

    kind: Literal["text-to-image"] = "text-to-image"
    hires_factor: hires_fields.HiresFactor = 1.0
    hires_upscaler: hires_fields.HiresUpscaler = LATENT
    hires_strength: hires_fields.HiresStrength = 0.6
    hires_steps: hires_fields.HiresSteps = 0
    hires_sampler: hires_fields.HiresSampler = SAME
    hires_prompt: hires_fields.HiresPrompt = ""
    motion_module: motion_fields.MotionModuleName = ""
    frames: motion_fields.Frames = 16
    fps: motion_fields.FramesPerSecond = 8.0

    @model_validator(mode="after")
    def _motion_fits(self) -> "TextToImage":
        others = {
            "hires_factor": ("Hires factor", self.is_drawn_on),
            "token_merging": ("Token merging", self.token_merging > 0),
            "references": ("Style references", bool(self.references)),
        }
        for name, (label, is_asked) in others.items():
            if self.is_animated and is_asked:
                raise PydanticCustomError(
                    "motion_fits",
                    "{label} does not go with a motion module: leave out one of them.",
                    {"field": name, "code": "E-MOTION", "label": label},
                )
        return self

    @model_validator(mode="after")
    def _hires_fits(self) -> "TextToImage":
        if not self.is_drawn_on:
            return self
        steps, sampler = self.hires_steps or self.steps, self._hires_sampler
        if int(steps * self.hires_strength) < 1:
            raise PydanticCustomError(
                "hires_fits",
                "Hires strength {strength} of {steps} steps leaves no step to do; it takes at least {least}.",
                {
                    "field": "hires_strength",
                    "strength": f"{self.hires_strength:g}",
                    "steps": steps,
                    "least": f"{-(-100 // steps) / 100:g}",
                },
            )
        if self.schedule not in SCHEDULES_OF[sampler]:
            raise PydanticCustomError(
                "hires_fits",
                "Schedule {schedule} does not go with hires sampler {sampler}: it takes {allowed}.",
                {
                    "field": "hires_sampler",
                    "schedule": repr(self.schedule),
                    "sampler": repr(sampler),
                    "allowed": ", ".join(SCHEDULES_OF[sampler]),
                },
            )
        return self

    @property
    def is_drawn_on(self) -> bool:
        """Whether pictures are made larger and drawn on."""
        return self.hires_factor > 1

    @property
    def is_animated(self) -> bool:
        """Whether pictures are animations of `frames` frames."""
        return bool(self.motion_module)

    @property
    def _hires_sampler(self) -> str:
        return self.sampler if self.hires_sampler == SAME else self.hires_sampler

    @property
    def picture_size(self) -> tuple[int, int]:
        if not self.is_drawn_on:
            return self.canvas
        width, height = (max(GRID, round(side * self.hires_factor / GRID) * GRID) for side in self.canvas)
        return width, height

    @property
    def work(self) -> float:
        if self.is_animated:
            return super().work * self.frames
        return super().work + (self.drawn_on().work * self.hires_strength if self.is_drawn_on else 0.0)

    @property
    def largest_canvas(self) -> tuple[int, int]:
        return self.picture_size

    @property
    def batch_key(self) -> Hashable | None:
        if (
            self.count > 1 or self.is_drawn_on or self.is_animated or self.references or self.step_cache
        ):  # the cache is one for a whole batch
            return None
        return self.all_loras, self.model_dump_json(exclude=_OWN)

    def drawn_on(self) -> "TextToImage":
        """The request for the second part of this (settled) one alone, in the larger size."""
        width, height = self.picture_size
        changes = {
            "width": width,
            "height": height,
            "steps": self.hires_steps or self.steps,
            "sampler": self._hires_sampler,
            "prompt": self.hires_prompt or self.prompt,
            "hires_factor": 1.0,
        }
        return self.model_copy(update=changes)

    def settled(self, installed: "Installed") -> "TextToImage":
        settled = super().settled(installed)
        if self.is_animated:
            module = installed.motion_module(self.motion_module, settled.checkpoint, self.frames)
            return settled.model_copy(update={"motion_module": module})
        if not self.is_drawn_on:
            return settled
        installed.checkpoint(self.checkpoint, "image-to-image")
        with renamed_field("width", "hires_factor"):
            installed.check_size(settled.checkpoint, settled.picture_size)
        if self.hires_upscaler.strip().lower() == LATENT:
            return settled.model_copy(update={"hires_upscaler": LATENT})
        with renamed_field("upscaler", "hires_upscaler"):
            return settled.model_copy(update={"hires_upscaler": installed.upscaler(self.hires_upscaler)})
