"""How thumbnails show what presets for other checkpoints do: as the starter draws with their settings but for what it
takes to draw them with it; or where it has no words, or what finds depth, poses or lines does not ship, by what the
painter knows (`props.py`). Some of what ships is shown with another picture, to be told apart."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

Share = tuple[float, float, float, float]
"""Left, top, right and bottom of a part of a picture, as shares of its sides."""

WINDOW = 0.36, 0.68
"""Where the house has a window, as shares of the picture's sides."""
_MIDDLE = 0.5, 0.5


@dataclass(frozen=True, slots=True)
class StandIn:
    """`values` are the settings that are other ones.

    A picture is named by a built-in preset that draws it, or is one of the props. `given` is what is redrawn, in its
    part `masked` if it is inpainted; that part is made faulty first if it `blurs`. `after` is shown instead of what the
    preset makes. What it makes is shown alone, as the right half of what was `before` (unless named, what is given),
    cut around `at`, or as the right one of a pair.
    """

    values: Mapping[str, Any]
    given: str = "text-to-image/01-house"
    masked: Share = (0.08, 0.2, 0.95, 0.9)
    blurs: bool = False
    shown: Literal["alone", "halves", "pair"] = "alone"
    before: str = ""
    after: str = ""
    at: tuple[float, float] = _MIDDLE


_STARTER = {"checkpoint": "storybook", "negative_prompt": "", "seed": 7}
_DRAWN = {**_STARTER, "prompt": "a red house by the sea at sunset", "guidance_scale": 5.0, "schedule": "automatic"}
_MASKED = {**_DRAWN, "grow_mask": 4, "feather_mask": 4}
"""A quarter of the size: so are masks."""
_OUTLINE = "storybook-outline"
_CANNY = {"preprocessor": "canny", "control": _OUTLINE, "low_threshold": 60, "high_threshold": 120}
_WASHED = [{"name": "pencil", "strength": 0.3}]
_TWICE = {"upscaler": "storybook-x2"}
_CAT = "text-to-image/05-cat"
_FACE = 0.28, 0.3, 0.72, 0.66
"""Of the cat."""

STAND_INS: Mapping[tuple[str, str], StandIn] = MappingProxyType(
    {
        ("text-to-image", "20-portrait"): StandIn(
            {**_STARTER, "prompt": "a white cat in the snow at night", "width": 88, "height": 128}
        ),
        ("text-to-image", "21-landscape"): StandIn(
            {**_STARTER, "prompt": "a green mountain by the sea at dusk with clouds", "width": 184, "height": 128}
        ),
        ("text-to-image", "22-product"): StandIn(
            {**_STARTER, "prompt": "a red car in the snow on a cloudy day", "width": 128, "height": 128}
        ),
        ("text-to-image", "23-anime"): StandIn(
            {**_STARTER, "prompt": "a white cat and a pink tree on a meadow by day", "width": 128, "height": 192}
        ),
        ("text-to-image", "24-cinematic"): StandIn(
            {**_STARTER, "prompt": "a red train in the desert at night with stars", "width": 224, "height": 128}
        ),
        ("text-to-image", "25-watercolour"): StandIn(
            {**_DRAWN, "prompt": "a brown house and a green tree by the sea by day", "loras": _WASHED}
        ),
        ("text-to-image", "26-like"): StandIn(
            {**_DRAWN, "prompt": "a red boat on the sea by day", "loras": _WASHED, "references": []},
            shown="pair",
            before="text-to-image/25-watercolour",
        ),
        ("text-to-image", "30-lcm"): StandIn({**_STARTER, "prompt": "a purple fish by the sea by day", "loras": []}),
        ("text-to-image", "31-lightning"): StandIn(
            {**_STARTER, "prompt": "a yellow lighthouse in the snow at night", "loras": [], "width": 128, "height": 128}
        ),
        ("image-to-image", "20-oil"): StandIn({**_DRAWN, "guidance_scale": 14.0}),
        ("image-to-image", "21-watercolour"): StandIn(
            {**_DRAWN, "prompt": "a red house by the sea by day", "loras": _WASHED}
        ),
        ("image-to-image", "22-ink"): StandIn({**_DRAWN, "loras": [{"name": "pencil"}]}),
        ("image-to-image", "23-pixel"): StandIn({**_DRAWN, "loras": [{"name": "pixel-art"}]}),
        ("image-to-image", "24-photo"): StandIn(
            {**_DRAWN, "prompt": "a yellow house on a meadow by day"}, given="image-to-image/22-ink", shown="halves"
        ),
        ("image-to-image", "25-polish"): StandIn(
{**_DRAWN, "prompt": "a blue boat by the sea by day with clouds"}, given="text-to-image/04-boat"),
        ("image-to-image", "26-dream"): StandIn({**_DRAWN, "prompt": "a pink mushroom on a meadow by day"}),
        ("image-to-image", "27-depth"): StandIn({}, shown="pair", before="depth", after="space-in-neon"),
        ("image-to-image", "30-lcm"): StandIn(
            {**_STARTER, "prompt": "a green house by the sea by day with clouds", "loras": []}
        ),
        ("inpaint", "20-remove"): StandIn({**_MASKED, "prompt": "by the sea at sunset", "padding": 32, "seed": 11}),
        ("inpaint", "21-replace"): StandIn(
            {**_MASKED, "prompt": "a green lighthouse by the sea at sunset", "padding": 32}
        ),
        ("inpaint", "22-face"): StandIn(
            {**_MASKED, "prompt": "an orange cat on a meadow by day", "strength": 0.6, "padding": 32},
            given=_CAT,
            masked=_FACE,
            blurs=True,
            shown="halves",
        ),
        ("inpaint", "23-colour"): StandIn({**_MASKED, "prompt": "a yellow house by the sea at sunset", "padding": 32}),
        ("inpaint", "24-wider"): StandIn(
            {**_MASKED, "prompt": "by the sea at sunset", "extend_left": 64, "extend_right": 64}
        ),
        ("inpaint", "25-zoom-out"): StandIn(
            {
                **_DRAWN,
                "prompt": "a white castle in the snow at night with stars",
                "guidance_scale": 2.5,
                "seed": 3,
                **dict.fromkeys(("extend_left", "extend_right", "extend_top", "extend_bottom"), 24),
            },
            given="text-to-image/02-castle",
        ),
        ("inpaint", "26-soft"): StandIn(
            {**_DRAWN, "prompt": "a pink house by the sea at sunset", "feather_mask": 24, "padding": 32}
        ),
        ("inpaint", "27-lines"): StandIn(
            {
                **_MASKED,
                "prompt": "a purple house by the sea at sunset",
                "padding": 32,
                "units": [{"preprocessor": "canny", "control": _OUTLINE}],
            }
        ),
        ("controlnet", "20-scribble"): StandIn({**_DRAWN, "units": [{"preprocessor": "invert", "control": _OUTLINE}]}),
        ("controlnet", "21-depth"): StandIn({}, shown="pair", before="depth", after="space-anew"),
        ("controlnet", "22-pose"): StandIn({}, shown="pair", before="pose", after="person"),
        ("controlnet", "23-line-art"): StandIn(
            {
                **_DRAWN,
                "prompt": "a blue house on a meadow by day",
                "units": [{"preprocessor": "invert", "control": _OUTLINE}],
            }
        ),
        ("controlnet", "24-room"): StandIn({}, shown="halves", before="room-lines", after="room"),
        ("controlnet", "25-tile"): StandIn(
            {**_DRAWN, "units": [_CANNY]}, shown="halves", before="control-picture/08-redraw-details"
        ),
        ("controlnet", "26-xl-edges"): StandIn(
            {
                **_DRAWN,
                "prompt": "a white house in the snow at night",
                "units": [{"preprocessor": "canny", "control": _OUTLINE}],
            }
        ),
        ("upscale", "03-poster"): StandIn({}, given="text-to-image/06-balloon", at=(0.5, 0.66)),
        ("upscale", "05-little-memory"): StandIn({}, given="text-to-image/08-mushroom", at=(0.5, 0.6)),
        ("upscale", "06-plain"): StandIn({}, given="text-to-image/04-boat", at=(0.5, 0.5)),
        ("upscale", "20-photo"): StandIn(_TWICE, given="text-to-image/07-lighthouse", at=(0.3, 0.6)),
        ("upscale", "21-photo-twice"): StandIn(_TWICE, given="text-to-image/03-tree", at=(0.5, 0.5)),
        ("upscale", "22-anime"): StandIn(_TWICE, given=_CAT, at=(0.42, 0.5)),
        ("upscale", "23-sharp"): StandIn(_TWICE, given="text-to-image/31-lightning", at=(0.5, 0.3)),
        ("upscale", "24-fast"): StandIn(_TWICE, given="text-to-image/22-product", at=(0.5, 0.6)),
        ("upscale", "25-careful"): StandIn(_TWICE, given="text-to-image/30-lcm", at=(0.6, 0.55)),
        ("upscale", "26-detail"): StandIn(_TWICE, given="text-to-image/08-mushroom", at=(0.5, 0.5)),
        ("upscale", "27-redrawn"): StandIn({**_DRAWN, **_TWICE, "prompt": ""}, at=WINDOW),
        ("upscale", "28-tile-control"): StandIn(
            {**_DRAWN, **_TWICE, "prompt": "", "redraw_strength": 0.45, "tile_control": ""},
            given="text-to-image/03-tree",
            at=(0.3, 0.5),
        ),
        ("upscale", "29-faces"): StandIn(
            {
                **_DRAWN,
                "prompt": "an orange cat on a meadow by day",
                "redraw_strength": 0.6,
                "face_restorer": "",
            },
            given=_CAT,
            masked=_FACE,
            blurs=True,
        ),
        ("control-picture", "20-depth"): StandIn({}, after="depth"),
        ("control-picture", "21-pose"): StandIn({}, after="pose"),
        ("control-picture", "22-photo-outlines"): StandIn(
            {"preprocessor": "softedge"}, given="text-to-image/08-mushroom"
        ),
        ("control-picture", "23-rooms"): StandIn({}, after="room-lines"),
    }
)  # fmt: skip
"""Of kind and name of a preset."""
