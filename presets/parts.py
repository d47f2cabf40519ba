"""Where pictures stand in a request's values: in fields of its own, and in fields that are lists of parts."""

from collections.abc import Callable, Mapping
from typing import Any, get_args

from pydantic import BaseModel

from presets.checks import field_extra

PictureChange = Callable[[Any, str], Any]
"""From a picture's value, whatever it is, and the request's field that it stands in."""


def picture_fields(kind: type[BaseModel]) -> tuple[str, ...]:
    """The fields of a request, or of a part, that take pictures."""
    return tuple(name for name in kind.model_fields if field_extra(kind, name).get("picture"))


def parts_with_pictures(kind: type[BaseModel]) -> dict[str, tuple[str, ...]]:
    """The fields that are lists of parts, and the pictures' fields of such a part."""
    parts = {name: part_of(kind, name) for name in kind.model_fields if field_extra(kind, name).get("part")}
    return {name: fields for name, part in parts.items() if (fields := picture_fields(part))}


def part_of(kind: type[BaseModel], name: str) -> type[BaseModel]:
    """What the list in field `name` holds."""
    annotation: Any = kind.model_fields[name].annotation
    return get_args(annotation)[0]


def with_pictures(kind: type[BaseModel], values: Mapping[str, Any], change: PictureChange) -> dict[str, Any]:
    """`values` with each picture changed; values of the wrong shape stay as they are."""
    changed = {name: change(values[name], name) for name in picture_fields(kind) if name in values}
    for name, fields in parts_with_pictures(kind).items():
        if isinstance(values.get(name), list | tuple):
            changed[name] = [_part(part, fields, name, change) for part in values[name]]
    return {**values, **changed}


def without_pictures(kind: type[BaseModel], values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` without any picture: what a preset keeps."""
    own = picture_fields(kind)
    kept = {name: value for name, value in values.items() if name not in own}
    for name, fields in parts_with_pictures(kind).items():
        if isinstance(kept.get(name), list | tuple):
            kept[name] = [_without(part, fields) for part in kept[name]]
    return kept


def _part(part: Any, fields: tuple[str, ...], name: str, change: PictureChange) -> Any:
    if not isinstance(part, Mapping):
        return part
    return {**part, **{field: change(part[field], name) for field in fields if field in part}}


def _without(part: Any, fields: tuple[str, ...]) -> Any:
    values = part.model_dump() if isinstance(part, BaseModel) else part
    return {key: value for key, value in values.items() if key not in fields} if isinstance(values, Mapping) else part
