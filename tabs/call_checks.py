"""What is asked of every call's body before Gradio reads it."""

import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from presets.errors import InvalidField, UserError, shortened

_ADDRESS = re.compile(r"\s*https?:", re.IGNORECASE)


class UnreadableCall(UserError):
    code = "E-API-ARGS"


def check_number(kind: type[BaseModel], given: int) -> None:
    names = [name for name in kind.model_fields if name != "kind"]
    if given != len(names):
        sentence = f"{len(names)} parameters are needed in order ({', '.join(names)}), but {given} were given."
        raise InvalidField(names[min(given, len(names) - 1)], sentence, code="E-API-ARGS")


def check_envelope(given: Mapping[str, Any]) -> None:
    """What stands beside the list of values must be JSON in the strict sense: Gradio's complaint quotes it."""
    beside = {name: part for name, part in given.items() if not (name == "data" and isinstance(part, list))}
    try:
        json.dumps(beside, allow_nan=False)
    except (ValueError, RecursionError):
        raise UnreadableCall(f"The call must be plain JSON without NaN; given was {shortened(beside)}.") from None


def check_files(given: Mapping[str, Any]) -> None:
    """Gradio would fetch a file whose path is an address from there: this machine asks nobody for a stranger."""
    left: list[Any] = [given]
    while left:
        value = left.pop()
        left += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        path = value.get("path") if isinstance(value, dict) else None
        if isinstance(path, str) and _ADDRESS.match(path):
            raise UnreadableCall(f"Only a file that was uploaded here can be used, and not {shortened(path)}.")


def json_object_of(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise UnreadableCall("The body cannot be read as JSON, or is nested too deeply.") from None
    if not isinstance(value, dict):
        raise UnreadableCall(f"The body must be a JSON object, but is {shortened(value)}.")
    return value
