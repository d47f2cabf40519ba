"""JSON that a stranger wrote, read in bounded time and memory."""

import json
import re
from collections.abc import Callable
from typing import Any

PARTS_LIMIT = 300_000
"""Values that a text may hold, about: the header of 25,000 tensors has fewer. Each takes some hundred bytes."""

_TEXT = re.compile(r'"[^"\\]*(?:\\.?[^"\\]*)*(?:"|\Z)', re.DOTALL)
"""Ends where all does at the latest, so that no second look is ever taken."""


def parse(text: bytes | str, objects: Callable[[list[tuple[str, Any]]], Any] = dict) -> Any:
    """The value of the JSON `text`, in UTF-8, its objects made by `objects` of their pairs. Raises `ValueError`, also
    for one of too many parts or levels."""
    text = text.decode("utf-8-sig") if isinstance(text, bytes) else text
    if _holds_too_much(text):
        raise ValueError("there are too many values")
    try:
        return json.loads(text, object_pairs_hook=objects)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _holds_too_much(text: str) -> bool:
    """Whether there are more than `PARTS_LIMIT` marks between values, or texts."""
    if _marks(text) <= PARTS_LIMIT:
        return False
    others, texts = _TEXT.subn("", text, count=PARTS_LIMIT + 1)
    return texts > PARTS_LIMIT or _marks(others) > PARTS_LIMIT


def _marks(text: str) -> int:
    return sum(text.count(mark) for mark in ",[{")
