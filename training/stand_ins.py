"""How the starter shows what presets for other checkpoints do: their own settings but for what it takes to draw them
with it. Presets that it cannot show are not here."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

_DRAWN = {
    "checkpoint": "storybook",
    "prompt": "a red house by the sea at sunset",
    "negative_prompt": "",
    "guidance_scale": 5.0,
    "schedule": "automatic",
    "seed": 7,
}
_MASKED = {**_DRAWN, "grow_mask": 4, "feather_mask": 4}
"""A quarter of the size: so are masks."""
_OUTLINE = "storybook-outline"

STAND_INS: Mapping[tuple[str, str], Mapping[str, Any]] = MappingProxyType(
    {
        ("image-to-image", "22-ink"): {**_DRAWN, "loras": [{"name": "pencil"}]},
        ("image-to-image", "23-pixel"): {**_DRAWN, "loras": [{"name": "pixel-art"}]},
        ("image-to-image", "25-polish"): _DRAWN,
        ("image-to-image", "26-dream"): {**_DRAWN, "prompt": "a red house in the snow at night with stars"},
        ("inpaint", "20-remove"): {**_MASKED, "prompt": "by the sea at sunset", "padding": 32, "seed": 11},
        ("inpaint", "21-replace"): {**_MASKED, "prompt": "a white castle by the sea at sunset", "padding": 32},
        ("inpaint", "23-colour"): {**_MASKED, "prompt": "a yellow house by the sea at sunset", "padding": 32},
        ("inpaint", "24-wider"): {
            **_MASKED, "prompt": "by the sea at sunset", "extend_left": 64, "extend_right": 64
        },
        ("inpaint", "26-soft"): {
            **_DRAWN, "prompt": "a blue house by the sea at sunset", "feather_mask": 24, "padding": 32
        },
        ("inpaint", "27-lines"): {
            **_MASKED,
            "prompt": "a purple house by the sea at sunset",
            "padding": 32,
            "units": [{"preprocessor": "canny", "control": _OUTLINE}],
        },
        ("controlnet", "20-scribble"): {**_DRAWN, "units": [{"preprocessor": "invert", "control": _OUTLINE}]},
        ("controlnet", "23-line-art"): {
            **_DRAWN,
            "prompt": "a blue house on a meadow by day",
            "units": [{"preprocessor": "invert", "control": _OUTLINE}],
        },
        ("controlnet", "26-xl-edges"): {
            **_DRAWN,
            "prompt": "a white house in the snow at night",
            "units": [{"preprocessor": "canny", "control": _OUTLINE}],
        },
        ("upscale", "20-photo"): {"upscaler": "storybook-x2"},
        ("upscale", "21-photo-twice"): {"upscaler": "storybook-x2"},
        ("upscale", "27-redrawn"): {**_DRAWN, "upscaler": "storybook-x2", "prompt": ""},
    }
)  # fmt: skip
"""Kind and name of a preset -> the settings that are other ones."""
