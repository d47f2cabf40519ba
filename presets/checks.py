"""Values checked against a model's fields: a request or one sentence that names the field, and what a field allows."""

import functools
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from presets.errors import InvalidField, shortened

ModelType = TypeVar("ModelType", bound=BaseModel)

KNOWN_LISTED = 20
"""Names that a sentence has room for."""
NAME_COMPARED = 100
"""Characters of a wrong name that are compared with the right ones: it takes time with the square of them."""


def parse(kind: type[ModelType], values: Mapping[str, Any]) -> ModelType:
    """`values` as a request of `kind`. Raises `InvalidField` for the first field that is wrong."""
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        raise invalid_field(kind, error) from None


def invalid_field(kind: type[BaseModel], error: ValidationError) -> InvalidField:
    """The first complaint of `error` as a sentence that names the field, the value and what is allowed."""
    return complaint(kind, error.errors(include_url=False)[0])


def complaint(kind: type[BaseModel], detail: Any) -> InvalidField:
    """One of the details of a `ValidationError` as such a sentence."""
    location = detail["loc"]
    context = detail.get("ctx", {})
    if not location:
        field = str(context.get("field", ""))
        return InvalidField(field, detail["msg"], code=context.get("code") or field_extra(kind, field).get("code"))
    name = str(location[0])
    if part := field_extra(kind, name).get("part"):
        return _of_part(kind, detail, part)
    if detail["type"] == "extra_forbidden":
        owner = f" in {name}" if len(location) > 1 else f". {_known(kind, str(location[-1]))}"
        return InvalidField(name, f"There is no parameter {shortened(location[-1])}{owner}.", code="E-API-ARGS")
    if detail["type"] == "missing" and field_extra(kind, name).get("picture"):
        return InvalidField(name, f"{field_extra(kind, name)['label']} is missing: choose one first.", code="E-IMAGE")
    if detail["type"] == "missing":
        path = ".".join(str(part) for part in location)
        return InvalidField(name, f"The parameter {path!r} is required.", code="E-API-ARGS")
    code = (
        _PROBLEM_CODES.get(detail["type"]) or context.get("code") or field_extra(kind, name).get("code", "E-API-ARGS")
    )
    return InvalidField(name, _sentence(kind, location, detail), code=code)


def _of_part(kind: type[BaseModel], detail: Any, part: str) -> InvalidField:
    """A complaint about a field that is a list of several `part`s, each with fields of its own."""
    name, *rest = detail["loc"]
    if detail["type"] in ("missing", "too_short") and not rest:
        return InvalidField(name, f"A {part} is missing: give at least one, with its picture.", code="E-IMAGE")
    if not rest or not isinstance(rest[0], int):
        sentence = f"There can be 1 to {field_schemas(kind)[name]['maxItems']} {part}s, each with its own fields."
        return InvalidField(name, sentence, code=field_extra(kind, name)["code"])
    if len(rest) == 1 and detail["type"] == "model_type":
        sentence = (
            f"{part.capitalize()} {rest[0] + 1}: must be its fields by name, but is {shortened(detail['input'])}."
        )
        return InvalidField(name, sentence, code="E-API-ARGS")
    annotation: Any = kind.model_fields[name].annotation
    inner = complaint(get_args(annotation)[0], {**detail, "loc": tuple(rest[1:])})
    return InvalidField(name, f"{part.capitalize()} {rest[0] + 1}: {inner.message}", code=inner.code)


def _known(kind: type[BaseModel], name: str) -> str:
    """The parameters that there are; of many those that are most like `name`."""
    fields = [field for field in kind.model_fields if field != "kind"]
    if len(fields) <= KNOWN_LISTED:
        return f"Known are: {', '.join(fields)}"
    near = get_close_matches(name[:NAME_COMPARED], fields, n=3, cutoff=0.0)
    return f"Of {len(fields)} that there are, the nearest are: {', '.join(near)}"


_PROBLEM_CODES = {
    "encodable": "E-TEXT-ENCODING",
    "string_type": "E-API-ARGS",
    "tuple_type": "E-API-ARGS",
    "model_type": "E-API-ARGS",
}


def field_extra(kind: type[BaseModel], name: str) -> dict[str, Any]:
    """What the faces know of a field beside its bounds (code, label, unit, step, group)."""
    field = kind.model_fields.get(name)
    extra = field.json_schema_extra if field else None
    return extra if isinstance(extra, dict) else {}


def _sentence(kind: type[BaseModel], location: tuple[int | str, ...], detail: Any) -> str:
    name = str(location[0])
    label = field_extra(kind, name).get("label", name)
    if len(location) > 1:
        label += " (" + ".".join(str(part) for part in location[1:]) + ")"
    value = detail["input"]
    if detail["type"] == "string_too_long":
        return f"{label} has {len(value):,} characters; at most {detail['ctx']['max_length']:,} are allowed."
    if detail["type"] == "model_type" and field_extra(kind, name).get("picture"):
        return f"{label} must be the file of a picture, but is {shortened(value)}."
    allowed = allowed_values(kind, name)
    if detail["type"] == "literal_error":
        return f"{label} cannot be {shortened(value, 30)}. {_instead(value, allowed)}"
    reason = detail["msg"][0].lower() + detail["msg"][1:]
    return f"{label} cannot be {shortened(value)}: {reason}." + (f" Allowed: {allowed}." if allowed else "")


def _instead(value: Any, allowed: str) -> str:
    """What `value` should be one of, the nearest first where it is text."""
    choices = allowed.split(", ")
    if len(choices) == 1:
        return f"It must be {allowed!r}."
    near = get_close_matches(value[:NAME_COMPARED], choices, n=1, cutoff=0.0) if isinstance(value, str) else []
    return (f"Did you mean {near[0]!r}? " if near else "") + f"Allowed: {allowed}."


@functools.cache
def field_schemas(kind: type[BaseModel]) -> dict[str, dict[str, Any]]:
    """The JSON schema of each field of a model, by its name. Not to be changed: it is made once."""
    return kind.model_json_schema()["properties"]


def allowed_values(kind: type[BaseModel], name: str) -> str:
    """The bounds of a field in words ("1 to 150"), or an empty text where it has none."""
    schema = field_schemas(kind).get(name, {})
    for part in (schema, *schema.get("anyOf", ())):
        if "enum" in part:
            return ", ".join(part["enum"])
        if "const" in part:
            return part["const"]
        if "minimum" in part and "maximum" in part:
            step = f" in steps of {schema['step']}" if schema.get("unit") == "px" and schema["step"] > 1 else ""
            return f"{part['minimum']} to {part['maximum']}{step}"
    return ""
