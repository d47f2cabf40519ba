import json

import pytest
from hypothesis import given
from hypothesis import strategies as some

from pipelines.engine.plain_json import PARTS_LIMIT, parse

VALUES = some.recursive(
    some.none() | some.booleans() | some.integers() | some.text(max_size=9),
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(some.text(max_size=4), inner, max_size=3),
    max_leaves=9,
)


@given(VALUES)
def test_what_json_can_say_is_read(value):
    assert parse(json.dumps(value)) == value
    assert parse(json.dumps(value, ensure_ascii=False).encode()) == value


def test_a_long_text_of_commas_and_brackets_is_one_value():
    tags = json.dumps({"tags": json.dumps([[1, "\\"]] * PARTS_LIMIT)})
    assert len(json.loads(parse(tags)["tags"])) == PARTS_LIMIT


@pytest.mark.parametrize(
    "text",
    [
        "[" + "[]," * PARTS_LIMIT + "[]]",
        '["' + '","' * PARTS_LIMIT + '"]',
        '{"a":' + "{}," * PARTS_LIMIT,
        '"" ' * PARTS_LIMIT + "[," * PARTS_LIMIT,
        "[" * 100_000,
        '{"a":' * 100_000,
        "9" * 100_000,
        '"' + '\\"' * 1_000_000 + "," * PARTS_LIMIT,
        '"' + "\\" * 1_000_001 + "," * PARTS_LIMIT,
        '"' * 1_000_001 + "," * PARTS_LIMIT * 2,
    ],
    ids=lambda text: text[:8],
)
def test_too_many_values_and_levels_and_texts_without_end_are_refused(text):
    with pytest.raises(ValueError, match="."):
        parse(text)


@pytest.mark.parametrize("content", [b"\xff{}", '{"a": 1}'.encode("utf-16"), b""])
def test_what_is_no_utf8_is_refused(content):
    with pytest.raises(ValueError, match="."):
        parse(content)
