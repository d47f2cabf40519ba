"""What A1111's `parameters` text tells of a picture that another one was given for: inpainting, its script "SD
upscale", loopback and plain image to image. The picture itself is not in it, and no mask is."""

from collections.abc import Mapping
from typing import Any

from presets import told
from presets.hires_fields import LATENT
from presets.infotext import CONTENT_NAMES, UPSCALER_NAMES
from presets.upscale import Upscale

_STRENGTH = "denoising strength"
_INPAINT = {
    "mask blur",
    "mask mode",
    "inpaint area",
    "masked area padding",
    "masked content",
    "soft inpainting enabled",
}
_LOOPBACK = {"loops": "rounds", "final denoising strength": "final_strength"}
_CURVE = "denoising curve"
_UPSCALE = {"sd upscale overlap", "sd upscale upscaler", "face restoration"}
_TILE = 512
"""A1111's, where no size is told."""


def redrawing(pairs: Mapping[str, str], values: Mapping[str, Any], *, is_own: bool) -> tuple[dict[str, Any], set[str]]:
    """`values`, the fields that any drawing has, with those of the kind that `pairs` (keys in lower case) tell of; and
    the keys that were read for it. `is_own` says that Easel wrote the text, which tells no more of how masks grow."""
    if "hires upscale" in pairs:
        return dict(values), set()
    if "sd upscale upscaler" in pairs:
        return _upscale(pairs, values)
    if _INPAINT & pairs.keys():
        fields = _inpaint(pairs) | ({} if is_own else {"grow_mask": 0})
        return {**values, "kind": "inpaint", **fields, **_strength(pairs, "strength")}, {*_INPAINT, _STRENGTH}
    if _STRENGTH in pairs:
        fields = {field: told.number_of(pairs[key]) for key, field in _LOOPBACK.items() if key in pairs}
        curve = {"strength_curve": pairs[_CURVE].lower()} if _CURVE in pairs else {}
        known = {*_LOOPBACK, _CURVE, _STRENGTH}
        return {**values, "kind": "image-to-image", **fields, **curve, **_strength(pairs, "strength")}, known
    return dict(values), set()


def of_upscaler(name: str) -> str:
    """What A1111 calls `name`, as Easel does."""
    ours = {theirs.lower(): ours for ours, theirs in UPSCALER_NAMES.items()}
    return LATENT if name.lower().startswith(LATENT) else ours.get(name.lower(), name)


def _strength(pairs: Mapping[str, str], field: str) -> dict[str, Any]:
    return {field: told.number_of(pairs[_STRENGTH])} if _STRENGTH in pairs else {}


def _inpaint(pairs: Mapping[str, str]) -> dict[str, Any]:
    """What is not told is as that program has it then."""
    contents = {theirs: ours for ours, theirs in CONTENT_NAMES.items()}
    content = pairs.get("masked content", "original")
    padding = {"padding": told.number_of(pairs["masked area padding"])} if "masked area padding" in pairs else {}
    return {
        "invert_mask": pairs.get("mask mode") == "Inpaint not masked",
        "feather_mask": told.number_of(pairs.get("mask blur", "0")),
        "area": "masked" if pairs.get("inpaint area") == "Only masked" else "whole",
        "content": contents.get(content, content),
        "soft_mask": pairs.get("soft inpainting enabled", "").lower() == "true",
        **padding,
    }


def _upscale(pairs: Mapping[str, str], values: Mapping[str, Any]) -> tuple[dict[str, Any], set[str]]:
    """The size that is told is that of a tile; the factor is not."""
    known = {*_UPSCALE, _STRENGTH}
    fields = {name: value for name, value in values.items() if name in Upscale.model_fields}
    name = pairs["sd upscale upscaler"].strip()
    fields |= {"kind": "upscale", "upscaler": "lanczos" if name == "None" else of_upscaler(name)}
    fields |= _strength(pairs, "redraw_strength")
    width, overlap = values.get("width"), told.number_of(pairs.get("sd upscale overlap"))
    if width is not None and width == values.get("height"):
        fields["redraw_tile"] = width
    if isinstance(overlap, int):
        fields["redraw_overlap"] = overlap / (width or _TILE)
    if "face restoration" in pairs:
        fields["face_restorer"] = pairs["face restoration"]
    return fields, known
