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
    if _marks(text, 0, len(text)) <= PARTS_LIMIT:
        return False
    marks = end = 0
    for number, match in enumerate(_TEXT.finditer(text)):
        marks += _marks(text, end, match.start())
        end = match.end()
        if max(marks, number) > PARTS_LIMIT:
            return True
    return marks + _marks(text, end, len(text)) > PARTS_LIMIT


def _marks(text: str, start: int, end: int) -> int:
    return sum(text.count(mark, start, end) for mark in ",[{")
