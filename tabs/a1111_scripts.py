"""What calls of AUTOMATIC1111's API ask of its scripts and extensions, as fields of requests."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.engine.jobs import Engine
from presets import control_text
from presets.errors import shortened
from presets.foreign_redrawing import of_upscaler
from presets.upscale import Upscale
from tabs.http_requests import kept_picture

_CONTROL, _SOFT = "controlnet", "soft inpainting"
READ = frozenset({_CONTROL, _SOFT})
"""The extensions that are read, in lower case."""
SCRIPTS = frozenset({"loopback", "sd upscale"})
"""The scripts of img2img that are read, in lower case."""
_MODES = ("Balanced", "My prompt is more important", "ControlNet is more important")
_RESIZES = ("Just Resize", "Crop and Resize", "Resize and Fill")
_NAMED = {"control mode": _MODES, "resize mode": _RESIZES}
"""Of a unit: what may be told by number, too."""
_TILE = 512
"""Pixels that A1111 draws at where nothing is told."""
_OF_UPSCALE = {"strength": "redraw_strength", "width": "redraw_tile"}


def arguments(given: Mapping[str, Any], script: str) -> list[Any]:
    """What a call tells the extension `script` (in lower case)."""
    scripts = given.get("alwayson_scripts")
    named = {str(name).lower(): value for name, value in scripts.items()} if isinstance(scripts, dict) else {}
    told = named.get(script)
    found = told.get("args") if isinstance(told, dict) else None
    return found if isinstance(found, list) else []


def ignored(given: Mapping[str, Any]) -> list[str]:
    """The extensions that a call tells something and that are not read."""
    scripts = given.get("alwayson_scripts")
    if not isinstance(scripts, dict):
        return ["alwayson_scripts"] if scripts else []
    return [f"alwayson_scripts.{name}" for name, told in scripts.items() if told and str(name).lower() not in READ]


def soft_mask(given: Mapping[str, Any]) -> bool:
    """Whether a call asks for soft inpainting, as a list that begins so or by name."""
    first = next(iter(arguments(given, _SOFT)), False)
    return first.get("Soft inpainting") is True if isinstance(first, dict) else first is True


def control_units(engine: Engine, given: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
    """The control units of a call, not checked, and sentences on what of them is not known. Raises `InvalidField` for a
    picture that cannot be read."""
    told = [unit for unit in arguments(given, _CONTROL) if isinstance(unit, dict) and unit.get("enabled", True)]
    notes = [
        f"The preprocessor {shortened(module)} is not known here; its picture was taken as it is."
        for module in (str(unit.get("module") or "none") for unit in told)
        if module.lower() != "none" and control_text.preprocessor_of(module) == "none"
    ]
    return [_unit(engine, unit) for unit in told], notes


def _unit(engine: Engine, told: Mapping[str, Any]) -> dict[str, Any]:
    pairs = {name.replace("_", " "): value for name, value in told.items() if value is not None}
    named = {name: _name(pairs[name], names) for name, names in _NAMED.items() if name in pairs}
    unit = control_text.unit_of({name: str(value) for name, value in {**pairs, **named}.items()})
    picture = told.get("image") or told.get("input_image")
    picture = picture.get("image") if isinstance(picture, dict) else picture
    return unit | ({"picture": kept_picture(engine.inputs, str(picture), "units")} if picture else {})


def _name(value: Any, names: Sequence[str]) -> Any:
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else value


def script_of(given: Mapping[str, Any]) -> str:
    """The script that a call runs, in lower case."""
    return str(given.get("script_name") or "").lower()


def loopback(given: Mapping[str, Any]) -> dict[str, Any]:
    """The rounds that a call asks for by A1111's script; its fourth argument is not read."""
    told = given.get("script_args")
    if script_of(given) != "loopback" or not isinstance(told, list):
        return {}
    values = dict(zip(("rounds", "final_strength", "strength_curve"), told, strict=False))
    curve = values.get("strength_curve")
    return values | ({"strength_curve": curve.lower()} if isinstance(curve, str) else {})


def upscale(given: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `Upscale` for a call of the script "SD upscale", of those that it would else be drawn by."""
    fields = {_OF_UPSCALE.get(name, name): value for name, value in values.items()}
    told = given.get("script_args")
    _, overlap, upscaler, factor, *_ = [*(told if isinstance(told, list) else []), *[None] * 4]
    if isinstance(overlap, int | float) and isinstance(tile := fields.get("redraw_tile", _TILE), int) and tile > 0:
        fields["redraw_overlap"] = overlap / tile
    if upscaler is not None:
        fields["upscaler"] = "lanczos" if upscaler == "None" else of_upscaler(str(upscaler))
    if factor is not None:
        fields["factor"] = factor
    return {name: value for name, value in fields.items() if name in Upscale.model_fields}
