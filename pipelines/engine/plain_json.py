"""JSON that a stranger wrote, read in bounded time and memory."""

import json
import re
from collections.abc import Callable
from typing import Any

PARTS_LIMIT = 300_000
"""Values that a text may hold: the header of 25,000 tensors has fewer. Each takes some hundred bytes of memory."""

_TEXTS = re.compile(r'"[^"\\]*(?:\\.?[^"\\]*)*(?:"|\Z)', re.DOTALL)
"""Ends at the text's end at the latest, so that no second look is ever taken."""


def parse(text: bytes | str, objects: Callable[[list[tuple[str, Any]]], Any] = dict) -> Any:
    """The value of the JSON `text`, in UTF-8, its objects made by `objects` of their pairs. Raises `ValueError`, also
    for one of too many parts or levels."""
    text = text.decode("utf-8-sig") if isinstance(text, bytes) else text
    if _marks(text) > PARTS_LIMIT and _marks(_TEXTS.sub("", text)) > PARTS_LIMIT:
        raise ValueError("there are too many values")
    try:
        return json.loads(text, object_pairs_hook=objects)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _marks(text: str) -> int:
    """As many as there are values, at least, where none of the marks stands in a text."""
    return text.count(",") + text.count("[") + text.count("{")
