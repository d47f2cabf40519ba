"""Any subset of a request's fields, from a file or another program: what of it is allowed, and why the rest is not."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from presets.checks import complaint
from presets.errors import InvalidField
from presets.request import Request


def accepted(kind: type[Request], values: Mapping[str, Any]) -> tuple[dict[str, Any], list[InvalidField]]:
    """Those of `values` that `kind` allows together, as given, and a complaint about each of the others.

    Fields that are not among them may be missing, also those that a request of this kind needs.
    """
    kept = {name: value for name, value in values.items() if name != "kind"}
    problems: dict[str, InvalidField] = {}
    while kept and (details := _details(kind, kept)):
        found = [complaint(kind, detail) for detail in details]
        for problem in found:
            problems.setdefault(problem.field or "", problem)
        named = {problem.field or "" for problem in found} & kept.keys()
        for name in named or {"prompt"} & kept.keys() or set(kept):  # LoRAs that add up to too much may be the prompt's
            del kept[name]
    return kept, list(problems.values())


def _details(kind: type[Request], values: Mapping[str, Any]) -> list[Any]:
    """What is wrong with `values`, other than that some are missing."""
    try:
        kind.model_validate(filled(kind, values))
    except ValidationError as error:
        details: list[Any] = error.errors(include_url=False)
        return [detail for detail in details if not (detail["type"] == "missing" and len(detail["loc"]) == 1)]
    return []


def filled(kind: type[Request], values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with an empty prompt where a request of `kind` needs one."""
    return {"prompt": "", **values} if "prompt" in kind.model_fields else dict(values)
