"""A request inside its picture: one lossless JSON text, and A1111's `parameters` text beside it for other programs.

The text `easel` is ASCII JSON `{"easel": 1, "request": {...}, "record": {...}}`. The request is the resolved one,
the record is what else was true when it ran: `timings` (seconds), `peak_memory` (bytes), `warnings`, `created` (seconds
since 1970), `job` (which tells its job's pictures from others of the same request), and what the runner tells of
itself, such as `family`, `device`, `dtype` and the libraries' versions. Only it is read back; the `parameters` are for
others. Both name the checkpoint's SHA-256 (`hashes` in the record) where it is known already: reading gigabytes would
delay the picture. What no checkpoint draws has no `parameters`.

    PNG     text chunks `easel` and `parameters` (animations are PNG files with frames, APNG)
    WebP    EXIF: ImageDescription `easel:{...}`, and UserComment for the parameters
    JPEG    comments `easel:{...}` (one after the other where one is too small), and EXIF UserComment
"""

import io
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image, ImageSequence, PngImagePlugin
from pydantic import ValidationError
from pydantic_core import to_jsonable_python

from presets import chunks, exif
from presets.chunks import Texts
from presets.errors import UserError
from presets.infotext import parameters_text
from presets.requests import KINDS, AnyRequest
from presets.text_to_image import TextToImage

FORMAT_VERSION = 1
CHUNK = "easel"
EXIF_MARK = f"{CHUNK}:"
CHUNK_LIMIT = 2**20
"""Characters. A longer chunk is not ours: two prompts of the greatest length take half of it."""

PNG_COMPRESSION = {"compress_level": 1, "compress_type": zlib.Z_RLE}
"""Measured on a noisy and a smooth 512 px picture: 18 and 13 ms, 409 and 348 KiB. Level 6, Pillow's default,
takes 52 and 64 ms for 410 and 334 KiB; level 1 without run lengths 22 and 16 ms for 472 and 390 KiB."""
JPEG_QUALITY = 95
JPEG_COMMENT_LIMIT = 30_000
"""Characters of the parameters that EXIF in a JPEG, 64 KiB, has room for; longer ones are left out."""


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


def encode_png(
    image: Image.Image, request: AnyRequest, record: Mapping[str, Any], following: Sequence[Image.Image] = ()
) -> bytes:
    """`image` as a PNG file that carries `request` and `record`; an animated one (APNG) where frames are `following`.

    Record values that JSON does not know are written as text, NaN and infinity as null: a record never costs a
    picture.
    """
    texts = PngImagePlugin.PngInfo()
    if parameters := _parameters(request, record):
        texts.add_text("parameters", parameters)
    texts.add_text(CHUNK, _chunk(request, record))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=texts, **PNG_COMPRESSION, **_moving(request, following))
    return buffer.getvalue()


def encode_webp(
    image: Image.Image, request: AnyRequest, record: Mapping[str, Any], following: Sequence[Image.Image] = ()
) -> bytes:
    """As `encode_png`, a WebP file with the same pixels."""
    texts = exif.write_texts(EXIF_MARK + _chunk(request, record), _parameters(request, record) or None)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", lossless=True, exif=texts, **_moving(request, following))
    return buffer.getvalue()


def encode_jpeg(
    image: Image.Image,
    request: AnyRequest,
    record: Mapping[str, Any],
    following: Sequence[Image.Image] = (),  # noqa: ARG001 - others keep them
) -> bytes:
    """As `encode_png`, a JPEG file: the pixels are only nearly the same, alpha and all frames but the first are
    dropped."""
    parameters = _parameters(request, record)
    texts = exif.write_texts(None, parameters if 0 < len(parameters) <= JPEG_COMMENT_LIMIT else None)
    buffer = io.BytesIO()
    comments = chunks.comment_segments(_chunk(request, record))
    image.convert("RGB").save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0, exif=texts, extra=comments)
    return buffer.getvalue()


def _moving(request: AnyRequest, following: Sequence[Image.Image]) -> dict[str, Any]:
    """What Pillow is told of an animation: as fast as it was asked for, without end."""
    if not following:
        return {}
    assert isinstance(request, TextToImage)
    return {"save_all": True, "append_images": list(following), "duration": 1000 / request.fps, "loop": 0}


ENCODERS: dict[str, Callable[..., bytes]] = {
    ".png": encode_png,
    ".webp": encode_webp,
    ".jpg": encode_jpeg,
    ".jpeg": encode_jpeg,
}
"""The ending of a file's name, in lower case -> what makes its content."""


def converted(path: Path, ending: str) -> bytes:
    """The content of a saved picture as a file that ends in `ending`, with its settings inside.

    Raises `MetadataUnreadable` where it is no picture of ours, `OSError` where it cannot be read.
    """
    recovered = read_request(path)
    if recovered is None:
        raise MetadataUnreadable("there are none")
    with Image.open(path) as image:
        first, *following = ImageSequence.all_frames(image)
    return ENCODERS[ending](first, recovered.request, recovered.record, following)


def read_request(source: Path | BinaryIO) -> Recovered | None:
    """The request inside a picture, equal to the one written; None if the picture carries none of ours.

    Raises `MetadataUnreadable`, and nothing else whatever the file holds, if it is no PNG, JPEG or WebP, or if its
    text is over `CHUNK_LIMIT`, malformed, of a newer Easel or refused by the request's own checks.
    """
    return read_picture(source)[0]


def read_picture(source: Path | BinaryIO) -> tuple[Recovered | None, tuple[int, int]]:
    """As `read_request`, and the picture's (width, height) as its header says. Pixels are not decoded."""
    try:
        texts = chunks.read_texts(source)
    except OSError:
        raise MetadataUnreadable("the file cannot be opened") from None
    if 0 in texts.size:
        raise MetadataUnreadable("the file is no whole PNG, JPEG or WebP picture")
    return recovered(texts), texts.size


def recovered(found: Texts) -> Recovered | None:
    """As `read_request`, of what stands beside a picture's pixels."""
    if CHUNK in found.problems:
        raise MetadataUnreadable("they are longer than allowed, or damaged")
    text = found.texts.get(CHUNK, _of_exif(found.texts))
    return _recovered(text) if text is not None else None


def _of_exif(texts: Mapping[str, str]) -> str | None:
    description = exif.named(texts, exif.DESCRIPTION)
    return description.removeprefix(EXIF_MARK) if description.startswith(EXIF_MARK) else None


def _parameters(request: AnyRequest, record: Mapping[str, Any]) -> str:
    """Empty where that grammar has no words for the request."""
    hashes = record.get("hashes")
    return parameters_text(request, hashes if isinstance(hashes, Mapping) else {})


def _chunk(request: AnyRequest, record: Mapping[str, Any]) -> str:
    plain = to_jsonable_python(dict(record), inf_nan_mode="null", fallback=str)
    return json.dumps({CHUNK: FORMAT_VERSION, "request": request.model_dump(mode="json"), "record": plain})


def _recovered(text: str) -> Recovered:
    content = _content(text)
    kind = content["request"].get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise MetadataUnreadable("it names a kind of job that is not known here")
    try:
        return Recovered(KINDS[kind].model_validate(content["request"]), content["record"])
    except ValidationError:
        raise MetadataUnreadable("a value is outside of what is allowed") from None


def _content(text: str) -> dict[str, Any]:
    """The chunk's JSON object, of this version and with an object under `request` and `record`."""
    if len(text) > CHUNK_LIMIT:
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
