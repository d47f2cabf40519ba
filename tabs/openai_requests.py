"""Calls of OpenAI's images API as requests.

Beside OpenAI's own parameters every field of the request may be given (`steps`, `seed`, `negative_prompt` ...), which
OpenAI's clients send as `extra_body`.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from presets.checks import parse
from presets.errors import InvalidField, shortened
from presets.images import ImageRef
from presets.inputs import Inputs, decode
from presets.parts import picture_fields
from presets.requests import AnyRequest, ImageToImage, Inpaint, TextToImage

_OPENAI_MODELS = ("dall-e-", "gpt-image-", "chatgpt-image-")
"""Beginnings of names that clients send unasked, and that nobody has here: the default checkpoint stands for them."""
_SIZE = re.compile(r"(\d{1,6})x(\d{1,6})")
_READ = {"prompt", "n", "model", "size", "response_format", "output_format", "stream"}


def generation_of(given: Mapping[str, Any]) -> TextToImage:
    """Raises `InvalidField`."""
    return parse(TextToImage, _values(TextToImage, given))


def edit_of(inputs: Inputs, given: Mapping[str, Any], image: bytes, mask: bytes | None) -> AnyRequest:
    """What is transparent in `mask`, or without one in `image`, is made anew; where nothing is, the whole picture is
    redrawn. Raises `InvalidField`."""
    picture, notes = decode(image, "image")
    reference = inputs.keep(picture, notes)
    if mask is None and picture.mode != "RGBA":
        return parse(ImageToImage, {**_values(ImageToImage, given), "image": reference})
    shape = reference if mask is None else _mask(inputs, mask)
    return parse(Inpaint, {**_values(Inpaint, given), "image": reference, "mask": shape, "invert_mask": True})


def from_form(texts: Mapping[str, str]) -> dict[str, Any]:
    """The values of a call that came as a form: what is no text in a request is read as JSON, where it is some."""
    values: dict[str, Any] = dict(texts)
    for kind in (Inpaint, ImageToImage):
        for name, field in kind.model_fields.items():
            if name in texts and not isinstance(field.default, str) and not field.is_required():
                values[name] = _read(texts[name])
    return {**values, "n": _read(texts["n"])} if "n" in texts else values


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def ignored(given: Mapping[str, Any], kind: type[BaseModel]) -> list[str]:
    """What of a call says nothing to a request of that kind ("quality", "user" ...)."""
    known = _READ | _own(kind)
    return sorted(name for name, value in given.items() if value is not None and name not in known)


def _own(kind: type[BaseModel]) -> set[str]:
    return set(kind.model_fields) - set(picture_fields(kind)) - {"kind"}


def _mask(inputs: Inputs, content: bytes) -> ImageRef:
    picture, notes = decode(content, "mask")
    if picture.mode != "RGBA":
        sentence = "Nothing in the mask is transparent: what is to be made anew must be."
        raise InvalidField("mask", sentence, code="E-MASK")
    return inputs.keep(picture, notes)


def _values(kind: type[BaseModel], given: Mapping[str, Any]) -> dict[str, Any]:
    _check(given)
    own = _own(kind)
    values = {name: value for name, value in given.items() if name in own and value is not None}
    if given.get("n") is not None:
        values["count"] = given["n"]
    model = given.get("model")
    if model is not None and not str(model).startswith(_OPENAI_MODELS):
        values.setdefault("checkpoint", model)
    return {**values, **_sides(given.get("size"))}


def _check(given: Mapping[str, Any]) -> None:
    """Raise `InvalidField` for an answer that is wanted in a way in which none is given."""
    ways = {"response_format": ("b64_json", "url"), "output_format": ("png",), "stream": (False, "false")}
    for name, allowed in ways.items():
        value = given.get(name)
        if value is not None and value not in allowed:
            told = " or ".join(str(way) for way in dict.fromkeys(str(way).lower() for way in allowed))
            raise InvalidField(name, f"{name} must be {told}, but is {shortened(value)}.", code="E-API-ARGS")


def _sides(size: Any) -> dict[str, int]:
    if size in (None, "", "auto"):
        return {}
    match = _SIZE.fullmatch(size) if isinstance(size, str) else None
    if match is None:
        raise InvalidField("size", f"size must be auto or as 512x512, but is {shortened(size)}.", code="E-SIZE")
    return {"width": int(match[1]), "height": int(match[2])}
