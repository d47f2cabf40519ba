"""A request inside its picture: one lossless JSON chunk, and A1111's `parameters` text beside it for other programs.

The chunk `easel` is ASCII JSON `{"easel": 1, "request": {...}, "record": {...}}`. The request is the resolved one,
the record is what else was true when it ran: `timings` (seconds), `warnings`, `created` (seconds since 1970), and
what the runner tells of itself, such as `family`, `device`, `dtype` and the libraries' versions. Only the chunk is read
back; the text is for others. Both name the checkpoint's SHA-256 (`hashes` in the record) where it is known already:
reading gigabytes would delay the picture.
"""

import functools
import importlib.metadata
import io
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from PIL import Image, PngImagePlugin
from pydantic import ValidationError
from pydantic_core import to_jsonable_python

from presets.errors import UserError
from presets.fields import without_control_characters
from presets.requests import KINDS, AnyRequest, ImageToImage, LoraUse

FORMAT_VERSION = 1
CHUNK = "easel"
CHUNK_LIMIT = 2**20
"""Characters. A longer chunk is not ours: two prompts of the greatest length take half of it."""

PNG_COMPRESSION = {"compress_level": 1, "compress_type": zlib.Z_RLE}
"""Measured on a noisy and a smooth 512 px picture: 18 and 13 ms, 409 and 348 KiB. Level 6, Pillow's default,
takes 52 and 64 ms for 410 and 334 KiB; level 1 without run lengths 22 and 16 ms for 472 and 390 KiB."""


class MetadataUnreadable(UserError):
    """A picture that cannot be opened, or whose chunk is ours by name but cannot be used."""

    code = "E-METADATA"

    def __init__(self, reason: str):
        super().__init__(f"The settings inside this picture cannot be read: {reason}.")


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a picture says of itself. `record` is a JSON object whose values nobody has checked."""

    request: AnyRequest
    record: Mapping[str, Any]


def encode_png(image: Image.Image, request: AnyRequest, record: Mapping[str, Any]) -> bytes:
    """`image` as a PNG file that carries `request` and `record`.

    Record values that JSON does not know are written as text, NaN and infinity as null: a record never costs a
    picture.
    """
    texts = PngImagePlugin.PngInfo()
    texts.add_text("parameters", parameters_text(request, record.get("hashes", {})))
    texts.add_text(CHUNK, _chunk(request, record))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=texts, **PNG_COMPRESSION)
    return buffer.getvalue()


def read_request(source: Path | Image.Image) -> Recovered | None:
    """The request inside a PNG, equal to the one written; None if the picture carries none of ours.

    Raises `MetadataUnreadable`, and nothing else whatever the file holds, if it is no picture, or if its chunk is
    over `CHUNK_LIMIT`, malformed, of a newer Easel or refused by the request's own checks.
    """
    if isinstance(source, Path):
        return read_picture(source)[0]
    return _recovered(source.info)


def read_picture(path: Path) -> tuple[Recovered | None, tuple[int, int]]:
    """As `read_request`, and the picture's (width, height). Pixels are not decoded."""
    try:
        with Image.open(path, formats=("PNG",)) as image:
            return _recovered(image.info), image.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise MetadataUnreadable("the file is not a whole PNG picture") from None


def parameters_text(request: AnyRequest, hashes: Mapping[str, str] = MappingProxyType({})) -> str:
    """`request` in A1111's grammar: prompt, negative prompt, then a line of `key: value` pairs in its order.

    Of the SHA-256 that `hashes` names as "checkpoint" it takes the first 10 digits.
    """
    pairs = {
        "Steps": request.steps,
        "Sampler": request.sampler,
        "Schedule type": _SCHEDULE_NAMES[request.schedule],
        "CFG scale": f"{request.guidance_scale:.15g}",
        "Seed": request.seed,
        "Size": f"{request.width}x{request.height}" if request.width and request.height else None,
        "Model hash": hashes.get("checkpoint", "")[:10] or None,
        "Model": request.checkpoint or None,
        "VAE": request.vae or None,
        "Denoising strength": f"{request.strength:.15g}" if isinstance(request, ImageToImage) else None,
        "Clip skip": request.clip_skip if request.clip_skip > 1 else None,
        "Token merging ratio": f"{request.token_merging:.15g}" if request.token_merging else None,
        "Version": f"Easel {software_version()}".strip(),
    }
    line = ", ".join(f"{key}: {_quoted(str(value))}" for key, value in pairs.items() if value is not None)
    loras = "".join(f" {_lora_tag(lora)}" for lora in request.loras)
    negative = f"\nNegative prompt: {request.negative_prompt}" if request.negative_prompt else ""
    return without_control_characters(f"{request.prompt}{loras}{negative}\n{line}").strip()


def _lora_tag(lora: LoraUse) -> str:
    text = lora.text_encoder_strength
    return f"<lora:{lora.name}:{lora.strength:.15g}" + ("" if text is None else f":{text:.15g}") + ">"


@functools.cache
def software_version() -> str:
    """The installed Easel's version, or an empty text where it runs from a bare folder."""
    try:
        return importlib.metadata.version("easel")
    except importlib.metadata.PackageNotFoundError:
        return ""


_SCHEDULE_NAMES = {
    "automatic": "Automatic",
    "normal": "Normal",
    "karras": "Karras",
    "exponential": "Exponential",
    "beta": "Beta",
    "sgm_uniform": "SGM Uniform",
}


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if any(mark in value for mark in ",\n:") else value


def _chunk(request: AnyRequest, record: Mapping[str, Any]) -> str:
    plain = to_jsonable_python(dict(record), inf_nan_mode="null", fallback=str)
    return json.dumps({CHUNK: FORMAT_VERSION, "request": request.model_dump(mode="json"), "record": plain})


def _recovered(info: Mapping[Any, Any]) -> Recovered | None:
    text = info.get(CHUNK)
    if text is None:
        return None
    content = _content(text)
    kind = content["request"].get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise MetadataUnreadable("it names a kind of job that is not known here")
    try:
        return Recovered(KINDS[kind].model_validate(content["request"]), content["record"])
    except ValidationError:
        raise MetadataUnreadable("a value is outside of what is allowed") from None


def _content(text: Any) -> dict[str, Any]:
    """The chunk's JSON object, of this version and with an object under `request` and `record`."""
    if not isinstance(text, str) or len(text) > CHUNK_LIMIT:
        raise MetadataUnreadable(f"they are longer than {CHUNK_LIMIT:,} characters")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise MetadataUnreadable("they are not valid JSON") from None
    version = content.get(CHUNK) if isinstance(content, dict) else None
    if type(version) is not int or version < 1:
        raise MetadataUnreadable("they were not written by Easel")
    if version > FORMAT_VERSION:
        raise MetadataUnreadable("they were written by a newer Easel")
    if not isinstance(content.get("request"), dict) or not isinstance(content.get("record"), dict):
        raise MetadataUnreadable("a part of them is missing")
    return content
