"""The vocabulary of requests: each kind of field with its bounds, unit, default label, help and error code, once.

A field's `json_schema_extra` carries what the faces need beside pydantic's own bounds:
`code` (of the error it raises), `label`, `unit`, `step` and `group` ("basic" fields are those a newcomer sees,
"advanced" the rest).
"""

import re
import sys
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from presets import prompts
from presets.samplers import Sampler, Schedule

PROMPT_LIMIT = 20_000
SIDE_MINIMUM, SIDE_MAXIMUM, SIDE_STEP = 64, 2048, 8
SEED_MAXIMUM = 2**53 - 1
RANDOM_SEED = -1
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def whole_number(value: Any) -> Any:
    """`value` as int if it is one (20, 20.0); any other value is refused, also True and "20"."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PydanticCustomError("whole_number", "must be a whole number")
    if isinstance(value, float):
        if not value.is_integer():
            raise PydanticCustomError("whole_number", "must be a whole number")
        return int(value)
    return value


def real_number(value: Any) -> float:
    """`value` as float if it is a finite number that a float can hold; bool and text are refused."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
        raise PydanticCustomError("real_number", "must be a finite number")
    return float(value)


def adapter_strength(value: Any) -> float:
    """A finite number from -10 to 10; the error carries its own code, as it stands inside a list."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -10 <= value <= 10:
        raise PydanticCustomError("adapter_strength", "must be a number from -10 to 10", {"code": "E-WEIGHT"})
    return float(value)


def seed_number(value: Any) -> Any:
    """As `whole_number`, but (ASCII) digits in a string are accepted: browsers round what is over 2^53."""
    if isinstance(value, str) and re.fullmatch(r"\s*-?[0-9]{1,20}\s*", value):
        return int(value)
    return whole_number(value)


def on_grid(value: int) -> int:
    """A side that is a multiple of 8; the error names the nearest one that is."""
    if value % SIDE_STEP:
        nearest = min(max(round(value / SIDE_STEP) * SIDE_STEP, SIDE_MINIMUM), SIDE_MAXIMUM)
        raise PydanticCustomError("on_grid", "must be a multiple of 8; the nearest is {nearest}", {"nearest": nearest})
    return value


def encodable(value: Any) -> Any:
    """Text that can be written as UTF-8 (no lone surrogates)."""
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise PydanticCustomError(
                "encodable",
                "holds a character that is no Unicode text (position {position})",
                {"position": error.start},
            ) from None
    return value


def without_control_characters(text: str) -> str:
    """`text` without C0/C1 control characters other than tab and newline (`\\r\\n` becomes `\\n`)."""
    return _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def cleaned(value: Any) -> Any:
    """`value` without control characters if it is text."""
    return without_control_characters(value) if isinstance(value, str) else value


def is_cleaned(given: Any, kept: Any) -> bool:
    """Whether `kept` is the text `given` after control characters, other than those of line ends, were removed."""
    return isinstance(given, str) and _CONTROL.search(given) is not None and kept == without_control_characters(given)


def extra(code: str, label: str, group: str, **more: Any) -> dict[str, Any]:
    """What the faces need of a field, as its `json_schema_extra`."""
    return {"code": code, "label": label, "group": group, **more}


Text = Annotated[str, BeforeValidator(encodable)]

Prompt = Annotated[
    str,
    Field(
        max_length=PROMPT_LIMIT,
        description="What the picture shows. (word:1.2) weighs a word, [word] weakens it, BREAK starts a new part.",
        json_schema_extra=extra("E-PROMPT-LONG", "Prompt", "basic", lines=3),
    ),
    BeforeValidator(cleaned),
    BeforeValidator(encodable),
    AfterValidator(prompts.check),
]
NegativePrompt = Annotated[
    str,
    Field(
        max_length=PROMPT_LIMIT,
        description="What the picture should not show. The same syntax as the prompt.",
        json_schema_extra=extra("E-PROMPT-LONG", "Negative prompt", "basic", lines=2),
    ),
    BeforeValidator(cleaned),
    BeforeValidator(encodable),
    AfterValidator(prompts.check),
]
StyleNames = Annotated[
    tuple[Annotated[str, Field(max_length=100), BeforeValidator(encodable)], ...],
    Field(
        max_length=16,
        description="Styles whose words are laid around the prompts, in this order.",
        json_schema_extra=extra("E-STYLE-UNKNOWN", "Styles", "basic"),
    ),
]
CheckpointName = Annotated[
    str,
    Field(
        max_length=300,
        description="The model that draws: a name from the list, or a Hugging Face Hub id (owner/name).",
        json_schema_extra=extra("E-MODEL-MISSING", "Checkpoint", "basic"),
    ),
    BeforeValidator(encodable),
]
VaeName = Annotated[
    str,
    Field(
        max_length=300,
        description="What turns latents into the picture: a file of the vae folder. Empty means the checkpoint's own.",
        json_schema_extra=extra("E-VAE-UNKNOWN", "VAE", "advanced"),
    ),
    BeforeValidator(encodable),
]
SamplerName = Annotated[
    Sampler,
    Field(
        description="The method that removes the noise step by step.",
        json_schema_extra=extra("E-SCHEDULER", "Sampler", "advanced"),
    ),
]
ScheduleName = Annotated[
    Schedule,
    Field(
        description="How the noise levels are spread over the steps; automatic is the sampler's usual one.",
        json_schema_extra=extra("E-SCHEDULER", "Schedule", "advanced"),
    ),
]
Steps = Annotated[
    int,
    Field(
        ge=1,
        le=150,
        description="Denoising steps. More take longer and add detail up to a point.",
        json_schema_extra=extra("E-STEPS", "Steps", "basic", step=1),
    ),
    BeforeValidator(whole_number),
]
GuidanceScale = Annotated[
    float,
    Field(
        ge=0,
        le=30,
        description="How closely the picture follows the prompt (CFG). Up to 1 the negative prompt has no effect.",
        json_schema_extra=extra("E-CFG", "Guidance scale", "advanced", step=0.5),
    ),
    BeforeValidator(real_number),
]
GuidanceEnd = Annotated[
    float,
    Field(
        ge=0,
        le=1,
        description="Share of the steps that follow the guidance scale. A step after that takes about half the time; "
        "0.5 makes pictures about a quarter faster, slightly different ones.",
        json_schema_extra=extra("E-CFG", "Guidance until", "advanced", step=0.05),
    ),
    BeforeValidator(real_number),
]
TokenMerging = Annotated[
    float,
    Field(
        ge=0,
        le=0.75,
        description="Share of positions that attention treats as one with their like (ToMe). Large pictures get up to "
        "a quarter faster at 0.5; fine detail suffers.",
        json_schema_extra=extra("E-API-ARGS", "Token merging", "advanced", step=0.05),
    ),
    BeforeValidator(real_number),
]
StepCache = Annotated[
    float,
    Field(
        ge=0,
        le=0.5,
        description="Steps that would differ less than this from the last one reuse it (First Block Cache, Flux only). "
        "The larger, the more steps are saved and the more detail changes; try 0.05 to 0.15.",
        json_schema_extra=extra("E-API-ARGS", "Step cache", "advanced", step=0.01),
    ),
    BeforeValidator(real_number),
]
Side = Annotated[
    int,
    Field(ge=SIDE_MINIMUM, le=SIDE_MAXIMUM),
    BeforeValidator(whole_number),
    AfterValidator(on_grid),
]
Width = Annotated[
    Side | None,
    Field(
        description="Pixels, a multiple of 8. Empty means the checkpoint's native size.",
        json_schema_extra=extra("E-SIZE", "Width", "advanced", step=SIDE_STEP, unit="px"),
    ),
]
Height = Annotated[
    Side | None,
    Field(
        description="Pixels, a multiple of 8. Empty means the checkpoint's native size.",
        json_schema_extra=extra("E-SIZE", "Height", "advanced", step=SIDE_STEP, unit="px"),
    ),
]
Seed = Annotated[
    int,
    Field(
        ge=RANDOM_SEED,
        le=SEED_MAXIMUM,
        description="The same seed and settings make the same picture. -1 draws a new one.",
        json_schema_extra=extra("E-SEED", "Seed", "basic", step=1),
    ),
    BeforeValidator(seed_number),
]
Count = Annotated[
    int,
    Field(
        ge=1,
        le=8,
        description="Pictures to make; each has the seed after the one before.",
        json_schema_extra=extra("E-BATCH", "Pictures", "advanced", step=1),
    ),
    BeforeValidator(whole_number),
]
ClipSkip = Annotated[
    int,
    Field(
        ge=1,
        le=12,
        description="Which layer of the text encoder is read, counted from its end. 1 is the last.",
        json_schema_extra=extra("E-CLIP-SKIP", "CLIP skip", "advanced", step=1),
    ),
    BeforeValidator(whole_number),
]
AdapterStrength = Annotated[
    float,
    Field(
        ge=-10,
        le=10,
        description="How strongly the LoRA is applied; 1 as trained, 0 not at all.",
        json_schema_extra=extra("E-WEIGHT", "Strength", "advanced", step=0.05),
    ),
    BeforeValidator(adapter_strength),
]
