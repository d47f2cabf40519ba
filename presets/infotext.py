"""A1111's `parameters` text, written and read: prompt, negative prompt, then one line of `key: value` pairs.

The grammar loses spaces at both ends of a prompt's lines, empty first and last lines, and everything in a prompt from
a line on that itself begins with "Negative prompt:". Only the fields that it knows are written.
"""

import functools
import importlib.metadata
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from presets import control_text
from presets.controlnet import Following
from presets.drawing import Drawing, LoraUse
from presets.fields import without_control_characters
from presets.hires_fields import SAME
from presets.requests import AnyRequest, ImageToImage, Inpaint, TextToImage, drawing_of
from presets.upscale import Tile, Upscale

PAIRS_LEAST = 3
"""With fewer pairs the last line is text."""
LINE_LIMIT = 100_000
"""Characters. A longer last line is text."""
RESOURCES_LIMIT = 4

_NEGATIVE = "Negative prompt:"
_PAIR = re.compile(r'\s*(\w[\w \-/]{0,100}):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
"""As in A1111, but that keys end after some length: without a bound the time would be quadratic."""
_RESOURCES = re.compile(r"Civitai (?:resources|metadata):\s*")
UPSCALER_NAMES = {"latent": "Latent", "lanczos": "Lanczos", "nearest": "Nearest"}
CONTENT_NAMES = {"fill": "fill", "noise": "latent noise", "nothing": "latent nothing"}
SCHEDULE_NAMES = {
    "automatic": "Automatic",
    "normal": "Normal",
    "karras": "Karras",
    "exponential": "Exponential",
    "beta": "Beta",
    "sgm_uniform": "SGM Uniform",
}


@dataclass(frozen=True, slots=True)
class Infotext:
    """The parts of such a text. `pairs` are in the order written; of a key that stands twice the last counts."""

    prompt: str
    negative_prompt: str
    pairs: Mapping[str, str]


def parse(text: str) -> Infotext:
    """`text` taken apart as A1111 does. A text without a line of pairs is all prompt."""
    lines = text.strip().split("\n")
    pairs, rest = pairs_of(lines[-1]), lines[:-1]
    if len(pairs) < PAIRS_LEAST:
        pairs, rest = {}, lines
    stripped = [line.strip() for line in rest]
    split = next((number for number, line in enumerate(stripped) if line.startswith(_NEGATIVE)), len(stripped))
    negative = [line.removeprefix(_NEGATIVE).strip() for line in stripped[split:]]
    return Infotext(_joined(stripped[:split]), _joined(negative), pairs)


def pairs_of(line: str) -> dict[str, str]:
    """The `key: value` pairs of a line, quotes taken off where they are JSON's."""
    if len(line) > LINE_LIMIT:
        return {}
    line, resources = _without_resources(line)
    return {key: _unquoted(value.strip()) for key, value in _PAIR.findall(line)} | resources


def parameters_text(request: AnyRequest, hashes: Mapping[str, str] = MappingProxyType({})) -> str:
    """What a checkpoint is asked to draw in A1111's grammar: prompt, negative prompt, then a line of `key: value` pairs
    in its order. Empty where it is asked nothing.

    Of the SHA-256 that `hashes` names as "checkpoint" it takes the first 10 digits, of those of LoRAs, which it names
    by `lora_key`, the first 12.
    """
    drawing = drawing_of(request)
    return "" if drawing is None else _text_of(drawing, hashes, _tiles(request))


def _text_of(request: Drawing, hashes: Mapping[str, str], more: Mapping[str, Any]) -> str:
    pairs = {
        "Steps": request.steps,
        "Sampler": request.sampler,
        "Schedule type": SCHEDULE_NAMES[request.schedule],
        "CFG scale": _number(request.guidance_scale),
        "Seed": request.seed,
        "Size": f"{request.width}x{request.height}" if request.width and request.height else None,
        "Model hash": str(hashes.get("checkpoint", ""))[:10] or None,
        "Model": request.checkpoint or None,
        "VAE": request.vae or None,
        "Denoising strength": _number(request.strength) if isinstance(request, ImageToImage | Tile) else None,
        **_hires(request),
        **_loopback(request),
        **_inpaint(request),
        "Clip skip": request.clip_skip if request.clip_skip > 1 else None,
        "Token merging ratio": _number(request.token_merging) if request.token_merging else None,
        **_units(request),
        "Lora hashes": _lora_hashes(request, hashes),
        **more,
        "Version": f"Easel {software_version()}".strip(),
    }
    line = ", ".join(f"{key}: {_quoted(str(value))}" for key, value in pairs.items() if value is not None)
    loras = "".join(f" {_lora_tag(lora)}" for lora in request.loras)
    negative = f"\nNegative prompt: {request.negative_prompt}" if request.negative_prompt else ""
    return without_control_characters(f"{request.prompt}{loras}{negative}\n{line}").strip()


def _tiles(request: AnyRequest) -> dict[str, Any]:
    """What A1111's script "SD upscale" tells of itself, and what restores faces."""
    if not isinstance(request, Upscale):
        return {}
    return {
        "SD upscale overlap": request.redraw_common,
        "SD upscale upscaler": UPSCALER_NAMES.get(request.upscaler, request.upscaler),
        "Face restoration": request.face_restorer if request.restores_faces else None,
    }


def _hires(request: Drawing) -> dict[str, Any]:
    if not isinstance(request, TextToImage) or not request.is_drawn_on:
        return {}
    return {
        "Denoising strength": _number(request.hires_strength),
        "Hires upscale": _number(request.hires_factor),
        "Hires steps": request.hires_steps or None,
        "Hires upscaler": UPSCALER_NAMES.get(request.hires_upscaler, request.hires_upscaler),
        "Hires sampler": None if request.hires_sampler == SAME else request.hires_sampler,
        "Hires prompt": request.hires_prompt or None,
    }


def _inpaint(request: Drawing) -> dict[str, Any]:
    """What is not as A1111 takes it where nothing is said."""
    if not isinstance(request, Inpaint):
        return {}
    is_part = request.area == "masked"
    return {
        "Denoising strength": _number(request.strength),
        "Mask mode": "Inpaint not masked" if request.invert_mask else None,
        "Mask blur": request.feather_mask or None,
        "Inpaint area": "Only masked" if is_part else None,
        "Masked area padding": request.padding if is_part else None,
        "Masked content": None if request.content == "original" else CONTENT_NAMES[request.content],
        "Soft inpainting enabled": True if request.soft_mask else None,
    }


def _loopback(request: Drawing) -> dict[str, Any]:
    """As its script has it, which writes no number of loops: that is our own."""
    if not isinstance(request, ImageToImage) or request.rounds == 1:
        return {}
    return {
        "Final denoising strength": _number(request.final_strength or request.strength),
        "Denoising curve": request.strength_curve.capitalize(),
        "Loops": request.rounds,
    }


def _units(request: Drawing) -> dict[str, str]:
    units = request.units if isinstance(request, Following) else ()
    return {f"ControlNet {number}": control_text.text_of(unit) for number, unit in enumerate(units)}


def lora_key(name: str) -> str:
    """How the hashes of a request's files name that of a LoRA."""
    return f"lora:{name}"


def _lora_hashes(request: Drawing, hashes: Mapping[str, str]) -> str | None:
    names = dict.fromkeys(lora.name for lora in request.all_loras)
    known = {name: str(hashes.get(lora_key(name), ""))[:12] for name in names}
    told = [f"{_without_marks(name)}: {digits}" for name, digits in known.items() if digits]
    return ", ".join(told) or None


def _without_marks(name: str) -> str:
    """As A1111 writes names among other names."""
    return name.replace(":", "").replace(",", "")


def lora_hashes_of(text: str) -> dict[str, str]:
    """The hashes by name that "Lora hashes" tells."""
    pairs = (part.rpartition(":") for part in text.split(","))
    return {name.strip(): digits.strip() for name, _, digits in pairs if name.strip()}


def _lora_tag(lora: LoraUse) -> str:
    text = lora.text_encoder_strength
    return f"<lora:{lora.name}:{_number(lora.strength)}" + ("" if text is None else f":{_number(text)}") + ">"


def _number(value: float) -> str:
    """The shortest decimal that is read as the same number, whole ones without a point."""
    return repr(value).removesuffix(".0")


@functools.cache
def software_version() -> str:
    """The installed Easel's version, or an empty text where it runs from a bare folder."""
    try:
        return importlib.metadata.version("easel")
    except importlib.metadata.PackageNotFoundError:
        return ""


def _quoted(value: str) -> str:
    """A1111 quotes what holds a comma, a newline or a colon; what only quotes would keep as it is, too."""
    needed = any(mark in value for mark in ",\n:") or value.strip() != value or value[:1] == '"'
    return json.dumps(value, ensure_ascii=False) if needed else value


def _unquoted(value: str) -> str:
    if len(value) < 2 or value[0] != '"' or value[-1] != '"':
        return value
    try:
        return str(json.loads(value))
    except ValueError:
        return value


def _without_resources(line: str) -> tuple[str, dict[str, str]]:
    """`line` without the bare JSON that Civitai's generator writes among the pairs, and that JSON by its key."""
    found = {}
    for match in reversed(list(_RESOURCES.finditer(line))[:RESOURCES_LIMIT]):
        try:
            _, end = json.JSONDecoder().raw_decode(line, match.end())
        except (ValueError, RecursionError):
            continue
        found[match[0].strip().rstrip(":")] = line[match.end() : end]
        line = line[: match.start()] + line[end:].lstrip(", ")
    return line, found


def _joined(lines: list[str]) -> str:
    return "\n".join(lines).strip("\n")
