"""A1111's `parameters` text, and what its forks and others make of it: Forge, SD.Next, Fooocus, Civitai."""

import json
import re
from collections.abc import Mapping
from typing import Any

from presets import control_text, told
from presets.foreign_redrawing import of_upscaler, redrawing
from presets.foreign_samplers import sampling
from presets.infotext import Infotext, lora_hashes_of, parse
from presets.told import LoraTold, Told

_SIZE = re.compile(r"\s*(\d{1,6})\s*x\s*(\d{1,6})\s*")
_FORGE = re.compile(r"f\d")
_NUMBERS = {
    "steps": "steps",
    "cfg scale": "guidance_scale",
    "seed": "seed",
    "clip skip": "clip_skip",
    "token merging ratio": "token_merging",
}
"""Key in lower case -> field."""
_HIRES = {
    "hires upscale": "hires_factor",
    "hires steps": "hires_steps",
    "denoising strength": "hires_strength",
}
_OF_HIRES = {*_HIRES, "hires upscaler", "hires sampler", "hires prompt"}
_READ = {*_NUMBERS, "size", "sampler", "schedule type", "scheduler", "model", "model hash", "vae", "vae hash"}
_ABOUT = {
    "version",
    "app",
    "parser",
    "backend",
    "pipeline",
    "lora hashes",
    "ti hashes",
    "hashes",
    "rng",
    "batch size",
    "batch pos",
    "created date",
    "civitai resources",
    "civitai metadata",
    "metadata scheme",
}
"""Keys that ask for nothing."""


def read(text: str) -> Told | None:
    """What `text` tells; None where it has no line of pairs, so that it is only some text."""
    found = parse(text)
    if not found.pairs:
        return None
    pairs = {key.lower(): value for key, value in found.pairs.items()}
    fields, notes = sampling(pairs.get("sampler"), pairs.get("schedule type") or pairs.get("scheduler"))
    program = _program(pairs)
    values, of_kind = redrawing(pairs, _values(found, pairs), is_own=program == "Easel")
    known = _READ | _ABOUT | of_kind | (_OF_HIRES if "hires upscale" in pairs else set())
    checkpoint, loras = _resources(pairs.get("civitai resources"))
    return Told(
        program=program,
        values=values | fields,
        checkpoint=told.file_of(pairs.get("model"), pairs.get("model hash")) or checkpoint,
        vae=told.file_of(pairs.get("vae") if pairs.get("vae") != "Automatic" else None, pairs.get("vae hash")),
        loras=loras,
        lora_hashes=lora_hashes_of(pairs.get("lora hashes", "")),
        notes=tuple(notes),
        rest=told.rest_of(
            found.pairs, (key for key in found.pairs if key.lower() in known or control_text.is_unit(key))
        ),
    )


def _values(found: Infotext, pairs: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {"prompt": found.prompt, "negative_prompt": found.negative_prompt}
    values |= {field: told.number_of(pairs[key]) for key, field in _NUMBERS.items() if key in pairs}
    size = _SIZE.fullmatch(pairs.get("size", ""))
    if size:
        values |= {"width": int(size[1]), "height": int(size[2])}
    if "hires upscale" in pairs:
        values |= _hires(pairs)
    if units := control_text.units_of(pairs):
        values |= {"kind": "controlnet", "units": units}
    return values


def _hires(pairs: Mapping[str, str]) -> dict[str, Any]:
    told_name = pairs.get("hires upscaler", "").strip()
    sampler = sampling(pairs.get("hires sampler"), None)[0].get("sampler")
    values = {field: told.number_of(pairs[key]) for key, field in _HIRES.items() if key in pairs}
    return {
        **values,
        **({"hires_upscaler": of_upscaler(told_name)} if told_name else {}),
        **({"hires_sampler": sampler} if sampler else {}),
        **({"hires_prompt": pairs["hires prompt"]} if "hires prompt" in pairs else {}),
    }


def _program(pairs: Mapping[str, str]) -> str:
    version = pairs.get("version", "")
    if "app" in pairs:
        return pairs["app"]
    for name in ("Easel", "Fooocus", "ComfyUI", "Draw Things", "InvokeAI"):
        if version.startswith(name):
            return name
    if _FORGE.match(version):
        return "Forge"
    if "civitai resources" in pairs:
        return "Civitai"
    return "AUTOMATIC1111"


def _resources(text: str | None) -> tuple[told.File | None, tuple[LoraTold, ...]]:
    """Civitai names models, not files."""
    try:
        entries = told.list_of(json.loads(text)) if text else []
    except (ValueError, RecursionError):
        return None, ()
    by_kind = [(entry.get("type"), entry) for entry in entries if isinstance(entry, dict)]
    checkpoints = [told.file_of(entry.get("modelName")) for kind, entry in by_kind if kind == "checkpoint"]
    loras = [
        (told.file_of(entry.get("modelName")), entry.get("weight", 1.0)) for kind, entry in by_kind if kind == "lora"
    ]
    return next(filter(None, checkpoints), None), tuple(LoraTold(file, weight) for file, weight in loras if file)
