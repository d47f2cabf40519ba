"""JSON that a stranger wrote, read in bounded time and memory."""

import json
import re
from collections.abc import Callable
from itertools import islice
from typing import Any

PARTS_LIMIT = 300_000
"""Values that a text may hold, about: the header of 25,000 tensors has fewer. Each takes some hundred bytes."""

_TOKENS = re.compile(r'"[^"\\]*(?:\\.?[^"\\]*)*(?:"|\Z)|[,\[{]', re.DOTALL)
"""Texts and marks between values. A text ends where all does at the latest, so that no second look is ever taken."""


def parse(text: bytes | str, objects: Callable[[list[tuple[str, Any]]], Any] = dict) -> Any:
    """The value of the JSON `text`, in UTF-8, its objects made by `objects` of their pairs. Raises `ValueError`, also
    for one of too many parts or levels."""
    text = text.decode("utf-8-sig") if isinstance(text, bytes) else text
    if _marks(text) > PARTS_LIMIT and next(islice(_TOKENS.finditer(text), 2 * PARTS_LIMIT, None), None):
        raise ValueError("there are too many values")
    try:
        return json.loads(text, object_pairs_hook=objects)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _marks(text: str) -> int:
    """At least as many as there are values: some may stand in texts."""
    return text.count(",") + text.count("[") + text.count("{")
