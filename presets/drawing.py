"""What all requests share that draw with a checkpoint: from noise, or on a given picture."""

import dataclasses
import random
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from presets import fields, picture_fields, prompts, sizes
from presets.checks import parse
from presets.errors import InvalidField, shortened
from presets.references import References
from presets.request import FromPicture, Request
from presets.samplers import SCHEDULES_OF

if TYPE_CHECKING:
    from presets.inputs import Inputs
    from presets.installed import Installed

DrawingType = TypeVar("DrawingType", bound="Drawing")
RedrawingType = TypeVar("RedrawingType", bound="Redrawing")


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
    styles: fields.StyleNames = ()
    checkpoint: fields.CheckpointName = ""
    steps: fields.Steps = 20
    width: fields.Width = None
    height: fields.Height = None
    count: fields.Count = 1
    seed: fields.Seed = fields.RANDOM_SEED
    guidance_scale: fields.GuidanceScale = 4.0
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
    references: References = ()

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

    def examined(self: DrawingType, inputs: "Inputs") -> DrawingType:
        """Raises `InvalidField` for a reference without a picture, too."""
        for number, reference in enumerate(self.references, start=1):
            if reference.picture is None:
                message = f"Style reference {number} has no picture: choose one, or leave it out."
                raise InvalidField("references", message, code="E-IMAGE")
        return super().examined(inputs)

    def settled(self: DrawingType, installed: "Installed") -> DrawingType:
        checkpoint = installed.checkpoint(self.checkpoint, self.kind)
        settled = self.resolved(checkpoint.name, checkpoint.native_size, checkpoint.grid)
        if settled.vae:
            settled = settled.model_copy(update={"vae": installed.vae(settled.vae, checkpoint.name)})
        names = [lora.name for lora in settled.all_loras]
        settled = settled.with_loras_named(installed.loras(names, checkpoint.name))
        installed.check_size(checkpoint.name, settled.canvas)
        return settled._with_adapters_named(installed) if settled.references else settled

    def _with_adapters_named(self: DrawingType, installed: "Installed") -> DrawingType:
        names = installed.ip_adapters([one.adapter for one in self.references], self.checkpoint)
        named = tuple(one.model_copy(update={"adapter": names[one.adapter]}) for one in self.references)
        return self.model_copy(update={"references": named})

    def resolved(
        self: DrawingType, checkpoint: str, native_size: tuple[int, int], grid: int = fields.SIDE_STEP
    ) -> DrawingType:
        """This request with nothing left to chance: the seed drawn, sizes and checkpoint named.

        `checkpoint` is the listed name that `self.checkpoint` stands for, `native_size` its (width, height), `grid` the
        pixels that its sides are multiples of.
        """
        width, height = self._size(native_size, grid)
        seed = self.seed if self.seed != fields.RANDOM_SEED else random.SystemRandom().randrange(2**32)
        return self.model_copy(
            update={
                "checkpoint": checkpoint,
                "width": width,
                "height": height,
                "seed": seed,
            }
        )

    @property
    def checkpoint_used(self) -> str:
        return self.checkpoint

    @property
    def picture_count(self) -> int:
        return self.count

    @property
    def picture_size(self) -> tuple[int, int]:
        return self.canvas

    @property
    def canvas(self) -> tuple[int, int]:
        return self.width or 0, self.height or 0

    @property
    def largest_canvas(self) -> tuple[int, int]:
        """(width, height) of the largest that is drawn on."""
        return self.canvas

    @property
    def work(self) -> float:
        return super().work * self.steps

    @property
    def caption(self) -> str:
        return self.prompt

    @property
    def searched(self) -> tuple[str, ...]:
        names = (self.checkpoint, *(lora.name for lora in self.loras))
        return self.prompt, self.negative_prompt, *names, str(self.seed)

    @property
    def file_mark(self) -> str:
        return str(self.seed)

    def _size(self, native_size: tuple[int, int], grid: int) -> tuple[int, int]:  # noqa: ARG002 - others need the grid
        """The (width, height) to draw at."""
        return self.width or native_size[0], self.height or native_size[1]

    def picture(self: DrawingType, index: int) -> DrawingType:
        return self.model_copy(update={"seed": (self.seed + index) % (fields.SEED_MAXIMUM + 1), "count": 1})


def _lora_use(name: str, strength: float, text_strength: float) -> LoraUse:
    text = None if text_strength == strength else text_strength
    return LoraUse.model_construct(name=name, strength=strength, text_encoder_strength=text)


class Redrawing(Drawing, FromPicture):
    """What all kinds share that draw on a given picture."""

    width: picture_fields.PictureWidth = None
    height: picture_fields.PictureHeight = None
    strength: picture_fields.Strength = 0.6

    @model_validator(mode="after")
    def _leaves_a_step(self: RedrawingType) -> RedrawingType:
        if int(self.steps * self.strength) < 1:  # as diffusers counts
            raise PydanticCustomError(
                "leaves_a_step",
                "Denoising strength {strength} of {steps} steps leaves no step to do; it takes at least {least}.",
                {
                    "field": "strength",
                    "strength": f"{self.strength:g}",
                    "steps": self.steps,
                    "least": f"{-(-100 // self.steps) / 100:g}",
                },
            )
        return self

    def resolved(
        self: RedrawingType, checkpoint: str, native_size: tuple[int, int], grid: int = fields.SIDE_STEP
    ) -> RedrawingType:
        resolved = super().resolved(checkpoint, native_size, grid)
        given, drawn = self._given_size, (resolved.width, resolved.height)
        if given and not (self.width or self.height) and given != drawn:
            told = f"The picture is {given[0]} × {given[1]} pixels; it is drawn at {drawn[0]} × {drawn[1]}."
            resolved._told = (*resolved._told, told)
        return resolved

    @property
    def work(self) -> float:
        return super().work * self._share_of_steps

    @property
    def _share_of_steps(self) -> float:
        """How much of the steps is done in all."""
        return self.strength

    @property
    def _given_size(self) -> tuple[int, int] | None:
        """The size that is drawn on, which sides follow that are not asked for; None where they are native."""
        return self.image.size

    def _size(self, native_size: tuple[int, int], grid: int) -> tuple[int, int]:
        if self._given_size is None or (self.width and self.height):
            return super()._size(native_size, grid)
        return sizes.following(self._given_size, (self.width, self.height), native_size, grid)
