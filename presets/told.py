"""What another program says that its picture was made with, in Easel's terms as far as there are such.

All texts come from a stranger's file: the readers (`foreign_*.py`) are total, and check nothing but shapes.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

VALUE_SHOWN = 300
REST_LIMIT = 100

_WHOLE = re.compile(r"[+-]?[0-9]{1,30}")
_REAL = re.compile(r"[+-]?(?:[0-9]{1,30}\.?[0-9]{0,30}|\.[0-9]{1,30})(?:[eE][+-]?[0-9]{1,3})?")


@dataclass(frozen=True, slots=True)
class File:
    """A file of weights by its name, and the beginning of its hash where that is told."""

    name: str
    hash: str = ""


@dataclass(frozen=True, slots=True)
class LoraTold:
    """A LoRA and its strengths, as written. `text_encoder_strength` None is the same as `strength`."""

    file: File
    strength: Any = 1.0
    text_encoder_strength: Any = None


@dataclass(frozen=True, slots=True)
class Told:
    """`values` are fields of a request, not checked. `lora_hashes` are of the LoRAs that the prompt names. `notes` are
    sentences about what is read otherwise than written; `rest` is what cannot be honoured, by its own name."""

    program: str
    values: Mapping[str, Any] = field(default_factory=dict)
    checkpoint: File | None = None
    vae: File | None = None
    loras: tuple[LoraTold, ...] = ()
    lora_hashes: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    rest: Mapping[str, str] = field(default_factory=dict)


def json_object(text: str | None) -> dict[str, Any]:
    """The JSON object that `text` is, or an empty one."""
    try:
        content = json.loads(text) if text else None
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def text_of(value: Any) -> str:
    """`value` if it is text, else an empty text."""
    return value if isinstance(value, str) else ""


def object_of(value: Any) -> dict[str, Any]:
    """`value` if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def list_of(value: Any) -> list[Any]:
    """`value` if it is a JSON list, else an empty one."""
    return value if isinstance(value, list) else []


def file_of(name: Any, digits: Any = "") -> File | None:
    """A file of weights, where `name` is one."""
    return File(name, text_of(digits)) if isinstance(name, str) and name.strip() not in ("", "None") else None


def number_of(value: Any) -> Any:
    """The number that a text spells; anything else as it is."""
    text = value.strip() if isinstance(value, str) else ""
    if _WHOLE.fullmatch(text):
        return int(text)
    return float(text) if _REAL.fullmatch(text) else value


def known(values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` without those that are None."""
    return {name: value for name, value in values.items() if value is not None}


def rest_of(content: Mapping[str, Any], used: Iterable[str]) -> dict[str, str]:
    """What of `content` says something and is not among those `used`, as text."""
    known_names = set(used)
    left = {name: value for name, value in content.items() if name not in known_names}
    shown = {name[:VALUE_SHOWN]: _in_words(value) for name, value in list(left.items())[:REST_LIMIT] if _says(value)}
    return {name: text if len(text) <= VALUE_SHOWN else text[: VALUE_SHOWN - 1] + "…" for name, text in shown.items()}


def _says(value: Any) -> bool:
    return value not in (None, "", False, [], {})


def _in_words(value: Any) -> str:
    try:
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return "…"
