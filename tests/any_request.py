"""Any request that is allowed, of any kind, made of its schema: for tests of what holds for all."""

from typing import Any

from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from presets.checks import parse
from presets.errors import UserError
from presets.requests import KINDS, AnyRequest

WORDS = st.text(st.characters(codec="utf-8"), max_size=30) | st.sampled_from(
    ["(red:1.2) house", "a, BREAK b", "<lora:ink:0.5>", "quotes \" ' \\ and\nlines", "🏠 Häuser", "Steps: 3, Seed: 4"]
)


@st.composite
def requests(draw: Any, kind: str) -> AnyRequest:
    """Of one kind; most fields are as they are unless given."""
    schema = KINDS[kind].model_json_schema()
    values = draw(_object(schema, schema.get("$defs", {})))
    try:
        return parse(KINDS[kind], values)
    except UserError:  # fields that do not go together
        assume(False)
        raise


def _object(schema: dict[str, Any], definitions: dict[str, Any]) -> SearchStrategy[dict[str, Any]]:
    parts = {name: _value(part, definitions) for name, part in schema["properties"].items() if name != "kind"}
    needed = schema.get("required", ())
    given = {name: part for name, part in parts.items() if name in needed}
    return st.fixed_dictionaries(given, optional={name: part for name, part in parts.items() if name not in needed})


def _value(schema: dict[str, Any], definitions: dict[str, Any]) -> SearchStrategy[Any]:
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return st.one_of([_value(part, definitions) for part in schema[key]])
    if "$ref" in schema:
        return _object(definitions[schema["$ref"].rsplit("/", 1)[-1]], definitions)
    if "enum" in schema or "const" in schema:
        return st.sampled_from(schema.get("enum") or [schema["const"]])
    return _SIMPLE[schema["type"]](schema, definitions)


def _whole_number(schema: dict[str, Any], _: object) -> SearchStrategy[int]:
    step = schema.get("step", 1) if schema.get("unit") == "px" else 1
    least, most = schema["minimum"], schema["maximum"]
    return st.integers(-(-least // step), most // step).map(lambda number: number * step)


_SIMPLE: dict[str, Any] = {
    "integer": _whole_number,
    "number": lambda schema, _: st.floats(schema["minimum"], schema["maximum"]),
    "boolean": lambda *_: st.booleans(),
    "null": lambda *_: st.none(),
    "string": lambda schema, _: st.from_regex(schema["pattern"], fullmatch=True) if "pattern" in schema else WORDS,
    "array": lambda schema, definitions: st.lists(
        _value(schema["items"], definitions), min_size=schema.get("minItems", 0), max_size=3
    ),
    "object": _object,
}
