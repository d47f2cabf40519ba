"""Control units in A1111's `parameters` text, as its ControlNet extension writes and reads them.

Each unit is one pair such as `ControlNet 0: "Module: canny, Model: outline, Weight: 0.8, ..."`, whose value is a list
of pairs of its own, split at commas. Pictures are not in it.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from presets import told
from presets.control_fields import UNITS
from presets.controlnet import ControlUnit
from presets.names import without_ending
from presets.preprocessors import PREPROCESSORS

_KEY = re.compile(r"controlnet ([0-9])")
_HASH = re.compile(r"\s*\[[0-9a-f]{8,}\]\s*")
_MODES = {
    "balanced": "Balanced",
    "prompt": "My prompt is more important",
    "control": "ControlNet is more important",
}
_RESIZES = {"crop": "Crop and Resize", "stretch": "Just Resize", "fill": "Resize and Fill"}
_THRESHOLDS = {"canny": ("low_threshold", "high_threshold"), "threshold": ("threshold",)}
"""Of those preprocessors that the extension has thresholds for in the same unit: the fields of A and B."""
_MODULES = MappingProxyType(
    {
        "softedge-hed": "softedge_hed", "softedge-pidinet": "softedge_pidinet", "softedge-teed": "softedge_teed",
        "anyline": "softedge_anyline", "scribble-hed": "scribble_hed", "scribble-pidinet": "scribble_pidinet",
        "scribble": "scribble_xdog", "lineart": "lineart_standard", "lineart-realistic": "lineart_realistic",
        "lineart-coarse": "lineart_coarse", "lineart-anime": "lineart_anime", "depth": "depth_anything_v2",
        "depth-midas": "depth_midas", "depth-zoe": "depth_zoe", "depth-leres": "depth_leres",
        "normal-bae": "normal_bae", "normal-midas": "normal_midas", "openpose-hand": "openpose_hand",
        "openpose-face": "openpose_face", "openpose-full": "openpose_full", "tile": "tile_resample",
        "blur": "blur_gaussian", "recolor-luminance": "recolor_luminance", "recolor-intensity": "recolor_intensity",
    }
)  # fmt: skip
"""Preprocessor -> the extension's name, where it is another one."""
_OTHERS = {"hed": "softedge-hed", "depth": "depth-midas", "pidinet": "softedge-pidinet", "tile": "tile"}
"""Names of the extension's early days."""


def text_of(unit: ControlUnit) -> str:
    """The value of the pair of `unit`."""
    thresholds = [float(getattr(unit, name)) for name in _THRESHOLDS.get(unit.preprocessor, ())]
    pairs = {
        "Module": _MODULES.get(unit.preprocessor, unit.preprocessor),
        "Model": unit.control.replace(",", " ") or "None",
        "Weight": unit.weight,
        "Resize Mode": _RESIZES[unit.resize_mode],
        "Processor Res": unit.resolution,
        **dict(zip(("Threshold A", "Threshold B"), thresholds, strict=False)),
        "Guidance Start": unit.start,
        "Guidance End": unit.end,
        "Pixel Perfect": unit.pixel_perfect,
        "Control Mode": _MODES[unit.mode],
    }
    return ", ".join(f"{key}: {value}" for key, value in pairs.items() if value is not None)


def units_of(pairs: Mapping[str, str]) -> list[dict[str, Any]]:
    """The units, not checked, that the pairs of a text (keys in lower case) tell."""
    keys = sorted(key for key in pairs if _KEY.fullmatch(key))
    return [unit_of(dict(_pair(part) for part in pairs[key].split(",") if ":" in part)) for key in keys[:UNITS]]


def is_unit(key: str) -> bool:
    return _KEY.fullmatch(key.lower()) is not None


def unit_of(pairs: Mapping[str, str]) -> dict[str, Any]:
    """The unit, not checked, that pairs (keys in lower case) such as `guidance start` tell."""
    preprocessor = preprocessor_of(pairs.get("module", "none"))
    unit: dict[str, Any] = {
        "preprocessor": preprocessor,
        "control": without_ending(_HASH.sub("", pairs.get("model", ""))).replace("None", ""),
        "weight": told.number_of(pairs.get("weight")),
        "start": told.number_of(pairs.get("guidance start")),
        "end": told.number_of(pairs.get("guidance end")),
        "mode": _reverse(_MODES, pairs.get("control mode")),
        "resize_mode": _reverse(_RESIZES, pairs.get("resize mode")),
        "pixel_perfect": {"true": True, "false": False}.get(pairs.get("pixel perfect", "").lower()),
        "resolution": _resolution(pairs.get("processor res")),
    }
    names = _THRESHOLDS.get(preprocessor, ())
    unit |= {name: told.number_of(pairs.get(f"threshold {end}")) for name, end in zip(names, "ab", strict=False)}
    return told.known(unit)


def _pair(text: str) -> tuple[str, str]:
    key, _, value = text.partition(":")
    return key.strip().lower(), value.strip()


def preprocessor_of(module: str) -> str:
    """The preprocessor that the extension's `module` is; none where there is no such one here."""
    module = module.lower()
    own = next((name for name, theirs in _MODULES.items() if theirs == module), None)
    if own is None and module.startswith(("invert", "depth_anything")):
        own = "invert" if module.startswith("invert") else "depth"
    own = own or _OTHERS.get(module, module)
    return own if own in PREPROCESSORS else "none"


def _reverse(names: Mapping[str, str], told_name: str | None) -> str | None:
    return next((own for own, theirs in names.items() if theirs == told_name), None)


def _resolution(text: str | None) -> Any:
    number = told.number_of(text)
    return number if isinstance(number, int) and number >= 64 else None
