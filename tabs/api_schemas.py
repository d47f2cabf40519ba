"""JSON schemas of requests as Gradio's clients and assistants read them: in one piece, with files as pictures."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import gradio as gr

from presets.parts import parts_with_pictures, picture_fields
from presets.requests import AnyRequest


def parameter_schemas(kind: type[AnyRequest]) -> dict[str, dict[str, Any]]:
    """JSON schema of each parameter of `kind`, in the order of its fields, without references."""
    whole = kind.model_json_schema()
    properties = inlined(whole["properties"], whole.get("$defs", {}))
    pictures = {name: file_schema() | _words_of(properties[name]) for name in picture_fields(kind)}
    for name, fields in parts_with_pictures(kind).items():
        own = properties[name]["items"]["properties"]
        own |= {field: file_schema() | _words_of(own[field]) for field in fields}
    return {name: schema for name, schema in {**properties, **pictures}.items() if name != "kind"}


@cache
def file_schema() -> dict[str, Any]:
    """Not to be changed: it is made once."""
    file = gr.FileData.model_json_schema()
    return inlined(file, file.get("$defs", {}))


def _words_of(schema: Mapping[str, Any]) -> dict[str, Any]:
    """What is said to people of a parameter, and its default."""
    return {key: schema[key] for key in ("label", "description", "default") if key in schema}


def inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    """`schema` with every `$ref` replaced by what it points at; without the one key that Gradio's clients trip over."""
    if isinstance(schema, list):
        return [inlined(part, definitions) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return inlined(definitions[schema["$ref"].rsplit("/", 1)[-1]], definitions)
    kept = {key: part for key, part in schema.items() if key != "additionalProperties"}
    return {key: inlined(part, definitions) for key, part in kept.items()}
