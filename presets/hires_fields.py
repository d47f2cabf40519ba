"""The vocabulary of the hires fix: a picture drawn small, made larger and drawn on (see presets/fields.py)."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from presets import prompts
from presets.fields import PROMPT_LIMIT, cleaned, encodable, extra, real_number, whole_number
from presets.samplers import Sampler

LATENT = "latent"
"""The upscaler that stretches the latents themselves."""

HiresFactor = Annotated[
    float,
    Field(
        ge=1,
        le=4,
        description="So many times as large the picture is drawn on once it is drawn. 1 means not at all.",
        json_schema_extra=extra("E-FACTOR", "Hires factor", "advanced", step=0.25),
    ),
    BeforeValidator(real_number),
]
HiresUpscaler = Annotated[
    str,
    Field(
        max_length=300,
        description="What makes it larger in between: latent (soft, needs a strength over 0.5), a model or resampling "
        "as in Upscale.",
        json_schema_extra=extra("E-UPSCALER", "Hires upscaler", "advanced"),
    ),
    BeforeValidator(cleaned),
    BeforeValidator(encodable),
]
HiresSteps = Annotated[
    int,
    Field(
        ge=0,
        le=150,
        description="Of so many steps the share of the strength is done. 0 means as many as at first.",
        json_schema_extra=extra("E-STEPS", "Hires steps", "advanced", step=1),
    ),
    BeforeValidator(whole_number),
]
HiresStrength = Annotated[
    float,
    Field(
        ge=0.01,
        le=1,
        description="How much is drawn anew in the larger size.",
        json_schema_extra=extra("E-STRENGTH", "Hires strength", "advanced", step=0.01),
    ),
    BeforeValidator(real_number),
]
SAME: Literal["the same"] = "the same"

HiresSampler = Annotated[
    Literal["the same", Sampler],
    Field(
        description="The sampler in the larger size.",
        json_schema_extra=extra("E-SCHEDULER", "Hires sampler", "advanced"),
    ),
]
HiresPrompt = Annotated[
    str,
    Field(
        max_length=PROMPT_LIMIT,
        description="What is drawn in the larger size. Empty means the same. LoRAs are those of the prompt.",
        json_schema_extra=extra("E-PROMPT-LONG", "Hires prompt", "advanced", lines=2),
    ),
    BeforeValidator(cleaned),
    BeforeValidator(encodable),
    AfterValidator(prompts.check),
]
