"""What comes in over plain HTTP: bodies, and the requests in them."""

import base64
import binascii
import json
import math
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request as HttpRequest

from presets.checks import parse
from presets.errors import InvalidField, UserError, shortened
from presets.images import FILE_LIMIT, ImageRef
from presets.inputs import Inputs, decode
from presets.parts import with_pictures
from presets.requests import KINDS, AnyRequest

BODY_LIMIT = 3 * FILE_LIMIT
"""Bytes of a request with its pictures in it."""


class BodyTooLarge(UserError):
    code = "E-BODY-LARGE"

    def __init__(self, limit: int):
        super().__init__(f"The body is larger than {limit // 2**20} MiB, which is the limit.")


class UnreadableBody(UserError):
    code = "E-API-ARGS"


async def read_body(request: HttpRequest, limit: int) -> bytes:
    """Raises `BodyTooLarge` without reading more than `limit` bytes."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise BodyTooLarge(limit)
        chunks.append(chunk)
    return b"".join(chunks)


def request_of(body: bytes, inputs: Inputs) -> AnyRequest:
    """The request that a JSON body holds, its pictures kept. Raises `UserError`."""
    return request_from(json_object(body), inputs)


def request_from(values: Mapping[str, Any], inputs: Inputs) -> AnyRequest:
    """The request of `values`, told by `kind`, its pictures (references, or base64) kept. Raises `UserError`."""
    kind = KINDS.get(values.get("kind", "")) if isinstance(values.get("kind"), str) else None
    if kind is None:
        raise InvalidField(
            "kind",
            f"There is no kind {shortened(values.get('kind'))}. Kinds are: {', '.join(KINDS)}.",
            code="E-API-ARGS",
        )

    def kept(value: Any, field: str) -> Any:
        return kept_picture(inputs, value, field) if isinstance(value, str) else value

    return parse(kind, with_pictures(kind, values, kept))


def json_object(body: bytes) -> dict[str, Any]:
    """Raises `UnreadableBody`, also for numbers that are none (NaN, Infinity, 1e999)."""
    try:
        value = json.loads(body, parse_constant=_number, parse_float=_number)
    except (ValueError, RecursionError):
        raise UnreadableBody("The body cannot be read as JSON, or is nested too deeply.") from None
    if not isinstance(value, dict):
        raise UnreadableBody(f"The body must be a JSON object, but is {shortened(value)}.")
    return value


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def kept_picture(inputs: Inputs, text: str, field: str) -> ImageRef:
    """The picture in base64, also as a data URL, kept. Raises `InvalidField`."""
    return kept_file(inputs, content_of(text, field), field)


def content_of(text: str, field: str) -> bytes:
    """The file in base64, also as a data URL. Raises `InvalidField`."""
    try:
        return base64.b64decode(text.rpartition(",")[2], validate=True)
    except (ValueError, binascii.Error):
        raise InvalidField(field, "The picture must be given as base64 or by its reference.", code="E-IMAGE") from None


def kept_file(inputs: Inputs, content: bytes, field: str = "image") -> ImageRef:
    """The picture in a file's `content` kept. Raises `InvalidField`."""
    if len(content) > FILE_LIMIT:
        limit = FILE_LIMIT // 2**20
        raise InvalidField(field, f"The picture's file is larger than {limit} MiB.", code="E-IMAGE-FILE")
    return inputs.keep(*decode(content, field), field=field)
