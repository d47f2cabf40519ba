"""Requests: what is wanted, one frozen model per kind of job.

A request is at once the form, the preset, the API body, the command line and the picture's metadata. Values are
checked when it is made (`presets/checks.py`). `resolved()` then leaves nothing to chance, and only a resolved request
is run and saved.
"""

import dataclasses
import random
from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ModelWrapValidatorHandler, model_validator
from pydantic_core import PydanticCustomError

from presets import fields, prompts
from presets.checks import parse
from presets.errors import shortened
from presets.samplers import SCHEDULES_OF

RequestType = TypeVar("RequestType", bound="Request")
DrawingType = TypeVar("DrawingType", bound="Drawing")


class Request(BaseModel):
    """Base of all kinds. `kind` is the stem that names its tab, endpoint, command and presets."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    title: ClassVar[str]
    kind: str

    _cleaned: tuple[str, ...] = ()
    """Fields that control characters were removed from. Not written down with the request: the text then is clean."""

    @model_validator(mode="wrap")
    @classmethod
    def _note_what_is_cleaned(
        cls: type[RequestType], values: Any, build: ModelWrapValidatorHandler[RequestType]
    ) -> RequestType:
        request = build(values)
        if isinstance(values, dict):
            request._cleaned = tuple(
                name for name in cls.model_fields if fields.is_cleaned(values.get(name), getattr(request, name))
            )
        return request

    def __eq__(self, other: object) -> bool:
        """Equal are requests that want the same, whatever was removed on the way."""
        return isinstance(other, type(self)) and self.__dict__ == other.__dict__

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences about what is done otherwise than the person may think. Never an error.

        Those about characters that were removed are known only to the request that was given them and its copies.
        """
        return tuple(f"Control characters were removed from the {name.replace('_', ' ')}." for name in self._cleaned)


class LoraUse(BaseModel):
    """A LoRA by its name in the list, and how strongly it is applied.

    `text_encoder_strength` is that of its part for the text encoders where it differs; None is the same as `strength`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: fields.Text = Field(max_length=300, description="The LoRA's name in the list.")
    strength: fields.AdapterStrength = 1.0
    text_encoder_strength: fields.AdapterStrength | None = None

    def __str__(self) -> str:
        text = self.text_encoder_strength
        return f"{self.name} {self.strength:g}" + ("" if text is None else f" (text encoder {text:g})")

    @property
    def strengths(self) -> tuple[float, float]:
        """For the model that removes the noise, and for the text encoders."""
        text = self.text_encoder_strength
        return self.strength, self.strength if text is None else text


class Drawing(Request):
    """What all kinds that draw with a checkpoint share."""

    prompt: fields.Prompt
    negative_prompt: fields.NegativePrompt = ""
    checkpoint: fields.CheckpointName = ""
    steps: fields.Steps = 20
    width: fields.Width = None
    height: fields.Height = None
    count: fields.Count = 1
    seed: fields.Seed = fields.RANDOM_SEED
    guidance_scale: fields.GuidanceScale = 5.0
    guidance_end: fields.GuidanceEnd = 1.0
    token_merging: fields.TokenMerging = 0.0
    step_cache: fields.StepCache = 0.0
    sampler: fields.SamplerName = "DPM++ 2M"
    schedule: fields.ScheduleName = "automatic"
    clip_skip: fields.ClipSkip = 1
    vae: fields.VaeName = ""
    loras: Annotated[
        tuple[LoraUse, ...],
        Field(
            max_length=16,
            description="LoRAs to apply, each with its strength.",
            json_schema_extra={"code": "E-LORA", "label": "LoRAs", "group": "advanced"},
        ),
    ] = ()

    @model_validator(mode="after")
    def _schedule_fits_sampler(self: DrawingType) -> DrawingType:
        allowed = SCHEDULES_OF[self.sampler]
        if self.schedule not in allowed:
            raise PydanticCustomError(
                "schedule_fits_sampler",
                "Schedule {schedule} does not go with sampler {sampler}: it takes {allowed}.",
                {
                    "field": "schedule",
                    "schedule": repr(self.schedule),
                    "sampler": repr(self.sampler),
                    "allowed": ", ".join(allowed),
                },
            )
        return self

    @model_validator(mode="after")
    def _strengths_add_up(self: DrawingType) -> DrawingType:
        for lora in self.all_loras:
            largest = max(lora.strengths, key=abs)
            if not -prompts.WEIGHT_LIMIT <= largest <= prompts.WEIGHT_LIMIT:
                raise PydanticCustomError(
                    "strengths_add_up",
                    "The strengths of LoRA {name} add up to {strength}; at most 10 is allowed.",
                    {
                        "field": "loras",
                        "code": prompts.PromptWeight.code,
                        "name": shortened(lora.name),
                        "strength": f"{largest:g}",
                    },
                )
        return self

    @property
    def all_loras(self) -> tuple[LoraUse, ...]:
        """The LoRAs of the list and those named in the prompt, each once, its strengths added up."""
        added: dict[str, tuple[float, float]] = {}
        for lora in self._each_lora():
            before = added.get(lora.name, (0.0, 0.0))
            added[lora.name] = (before[0] + lora.strengths[0], before[1] + lora.strengths[1])
        return tuple(_lora_use(name, *strengths) for name, strengths in added.items())

    @property
    def steps_done(self) -> int:
        """Steps that are really taken for one picture."""
        return self.steps

    def _each_lora(self) -> tuple[LoraUse, ...]:
        tags = prompts.parse(self.prompt).loras
        named = (LoraUse.model_construct(**dataclasses.asdict(tag)) for tag in tags)
        return (*self.loras, *named)

    @property
    def warnings(self) -> tuple[str, ...]:
        counts = Counter(lora.name for lora in self._each_lora())
        repeated = [lora for lora in self.all_loras if counts[lora.name] > 1]
        own = [
            f"LoRA {shortened(lora.name)} is named {counts[lora.name]} times; its strengths are added up to "
            f"{lora.strength:g}."
            for lora in repeated
        ]
        if prompts.parse(self.negative_prompt).loras:
            own.append("LoRA tags in the negative prompt have no effect; write them in the prompt.")
        return (*super().warnings, *own)

    def with_loras_named(self: DrawingType, names: Mapping[str, str]) -> DrawingType:
        """This request with LoRAs under other names, in the list and in the prompt. Raises `InvalidField` where two
        that thereby are one add up to too much."""
        if all(names.get(lora.name, lora.name) == lora.name for lora in self._each_lora()):
            return self
        loras = tuple(lora.model_copy(update={"name": names.get(lora.name, lora.name)}) for lora in self.loras)
        named = self.model_copy(update={"loras": loras, "prompt": prompts.with_loras_named(self.prompt, names)})
        parse(type(self), named.model_dump())
        return named

    def resolved(self: DrawingType, checkpoint: str, native_size: tuple[int, int]) -> DrawingType:
        """This request with nothing left to chance: the seed drawn, sizes and checkpoint named.

        `checkpoint` is the listed name that `self.checkpoint` stands for, `native_size` its (width, height).
        """
        seed = self.seed if self.seed != fields.RANDOM_SEED else random.SystemRandom().randrange(2**32)
        return self.model_copy(
            update={
                "checkpoint": checkpoint,
                "width": self.width or native_size[0],
                "height": self.height or native_size[1],
                "seed": seed,
            }
        )

    def picture(self: DrawingType, index: int) -> DrawingType:
        """The request that makes picture `index` of this (resolved) one alone."""
        return self.model_copy(update={"seed": (self.seed + index) % (fields.SEED_MAXIMUM + 1), "count": 1})


def _lora_use(name: str, strength: float, text_strength: float) -> LoraUse:
    text = None if text_strength == strength else text_strength
    return LoraUse.model_construct(name=name, strength=strength, text_encoder_strength=text)


class TextToImage(Drawing):
    """Make pictures from words."""

    title: ClassVar[str] = "Text to image"

    kind: Literal["text-to-image"] = "text-to-image"


AnyRequest = TextToImage
"""The union of all kinds, told apart by `kind`."""

KINDS: dict[str, type[AnyRequest]] = {"text-to-image": TextToImage}
