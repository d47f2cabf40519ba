"""Requests: what is wanted, one frozen model per kind of job.

A request is at once the form, the preset, the API body, the command line and the picture's metadata. Values are
checked when it is made (`presets/checks.py`). `resolved()` then leaves nothing to chance, and only a resolved request
is run and saved.
"""

import dataclasses
import random
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ModelWrapValidatorHandler, model_validator
from pydantic_core import PydanticCustomError

from presets import fields, prompts, sizes
from presets.checks import parse
from presets.errors import InvalidField, shortened
from presets.images import PIXEL_LIMIT, SIDE_LIMIT, ImageRef
from presets.samplers import SCHEDULES_OF

if TYPE_CHECKING:
    from presets.inputs import Inputs

RequestType = TypeVar("RequestType", bound="Request")
DrawingType = TypeVar("DrawingType", bound="Drawing")
RedrawingType = TypeVar("RedrawingType", bound="Redrawing")


class Request(BaseModel):
    """Base of all kinds. `kind` is the stem that names its tab, endpoint, command and presets."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    title: ClassVar[str]
    kind: str

    _told: tuple[str, ...] = ()
    """What `resolved` decided otherwise than the person may think."""
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

        Those about characters that were removed, and about files that pictures came in, are known only to the request
        that was given them and its copies.
        """
        cleaned = (f"Control characters were removed from the {name.replace('_', ' ')}." for name in self._cleaned)
        notes = (note for field, picture in self.pictures.items() if field != "mask" for note in picture.notes)
        return (*cleaned, *notes, *self._told)

    def examined(self: RequestType, inputs: "Inputs") -> RequestType:
        """This request after a look at the pictures it names. Raises `InvalidField` if one is missing or of no use."""
        for field, picture in self.pictures.items():
            inputs.check(picture, field)
        return self.model_copy()

    @property
    def pictures(self) -> dict[str, ImageRef]:
        """The pictures that it is given, by field."""
        return {name: value for name in type(self).model_fields if isinstance(value := getattr(self, name), ImageRef)}


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
    def picture_size(self) -> tuple[int, int]:
        """(width, height) of the pictures that this (resolved) request makes."""
        return self.width or 0, self.height or 0

    def _size(self, native_size: tuple[int, int], grid: int) -> tuple[int, int]:  # noqa: ARG002 - others need the grid
        """The (width, height) to draw at."""
        return self.width or native_size[0], self.height or native_size[1]

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


class FromPicture(Request):
    """What all kinds share that are given a picture."""

    image: fields.Picture


class Redrawing(Drawing, FromPicture):
    """What all kinds share that draw on a given picture."""

    width: fields.PictureWidth = None
    height: fields.PictureHeight = None
    strength: fields.Strength = 0.6

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
    def _given_size(self) -> tuple[int, int] | None:
        """The size that is drawn on, which sides follow that are not asked for; None where they are native."""
        return self.image.size

    def _size(self, native_size: tuple[int, int], grid: int) -> tuple[int, int]:
        if self._given_size is None or (self.width and self.height):
            return super()._size(native_size, grid)
        return sizes.following(self._given_size, (self.width, self.height), native_size, grid)


class ImageToImage(Redrawing):
    """Redraw a picture as told in words."""

    title: ClassVar[str] = "Image to image"

    kind: Literal["image-to-image"] = "image-to-image"
    resize_mode: fields.ResizeMode = "crop"


class Inpaint(Redrawing):
    """Redraw what is masked in a picture, or draw on beyond its sides; all else stays to the pixel."""

    title: ClassVar[str] = "Inpaint"

    kind: Literal["inpaint"] = "inpaint"
    mask: fields.Mask = None
    invert_mask: fields.MaskInvert = False
    grow_mask: fields.MaskGrow = 4
    feather_mask: fields.MaskBlur = 4
    area: fields.Area = "whole"
    padding: fields.Padding = 32
    content: fields.Content = "original"
    strength: fields.Strength = 1.0
    extend_left: fields.ExtendLeft = 0
    extend_right: fields.ExtendRight = 0
    extend_top: fields.ExtendTop = 0
    extend_bottom: fields.ExtendBottom = 0

    @model_validator(mode="after")
    def _mask_fits(self) -> "Inpaint":
        if self.mask is None:
            if self.invert_mask or not any(self.extensions):
                raise PydanticCustomError(
                    "mask_fits", "A mask is missing: paint what is to be redrawn, or extend a side.", _MASK
                )
        elif not sizes.alike(self.mask.size, self.image.size):
            raise PydanticCustomError(
                "mask_fits",
                "The mask is {mask} pixels and the picture {picture}: they must have the same shape.",
                _MASK | {"code": "E-MASK-SIZE", "mask": _times(self.mask.size), "picture": _times(self.image.size)},
            )
        return self

    @model_validator(mode="after")
    def _frame_is_small_enough(self) -> "Inpaint":
        width, height = self.picture_size
        if width * height > PIXEL_LIMIT or max(width, height) > SIDE_LIMIT:
            raise PydanticCustomError(
                "frame_is_small_enough",
                "Extended, the picture would be {size} pixels; the limit is {pixels} Mpx and {side} a side.",
                {
                    "field": "extend_left",
                    "code": "E-SIZE",
                    "size": _times((width, height)),
                    "pixels": f"{PIXEL_LIMIT / 1e6:.1f}",
                    "side": SIDE_LIMIT,
                },
            )
        return self

    @property
    def extensions(self) -> tuple[int, int, int, int]:
        """Pixels more at the left, top, right and bottom."""
        return self.extend_left, self.extend_top, self.extend_right, self.extend_bottom

    @property
    def picture_size(self) -> tuple[int, int]:
        left, top, right, bottom = self.extensions
        return self.image.width + left + right, self.image.height + top + bottom

    @property
    def warnings(self) -> tuple[str, ...]:
        own = []
        if self.mask is not None and self.mask.size != self.image.size:
            own.append(f"The mask was brought from {_times(self.mask.size)} to {_times(self.image.size)} pixels.")
        return (*super().warnings, *own)

    def examined(self, inputs: "Inputs") -> "Inpaint":
        """Raises `InvalidField` for a mask under which nothing is redrawn, and tells of one that spares nothing."""
        examined = super().examined(inputs)
        if self.mask is None:
            return examined
        colours = {value for _, value in inputs.painted(self.mask).getcolors() or ()}
        masked = {255 - value if self.invert_mask else value for value in colours if isinstance(value, int)}
        if masked == {0} and not any(self.extensions):
            what = "covers all and is inverted" if self.invert_mask else "is empty"
            raise InvalidField(
                "mask", f"The mask {what}: nothing would be redrawn. Paint what is to change.", code="E-MASK-EMPTY"
            )
        if masked == {255}:
            examined._told = (*examined._told, "The mask spares nothing: the whole picture is redrawn.")
        return examined

    @property
    def _given_size(self) -> tuple[int, int] | None:
        return self.picture_size if self.area == "whole" else None


_MASK = {"field": "mask", "code": "E-MASK"}


def _times(size: tuple[int, int]) -> str:
    return f"{size[0]} × {size[1]}"


AnyRequest = Annotated[TextToImage | ImageToImage | Inpaint, Field(discriminator="kind")]
"""The union of all kinds, told apart by `kind`."""

KINDS: dict[str, type[AnyRequest]] = {
    "text-to-image": TextToImage,
    "image-to-image": ImageToImage,
    "inpaint": Inpaint,
}
