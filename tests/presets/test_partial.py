import pytest

from presets.partial import accepted
from presets.requests import TextToImage


def problems(values: dict[str, object]) -> dict[str, str]:
    return {problem.field or "": problem.code for problem in accepted(TextToImage, values)[1]}


def test_what_is_allowed_is_kept_as_given():
    values = {"steps": 8, "width": 512, "loras": [{"name": "ink"}]}
    assert accepted(TextToImage, values) == (values, [])


def test_each_field_that_is_wrong_is_left_out_with_its_own_complaint():
    kept, _ = accepted(TextToImage, {"steps": 0, "seed": "x", "count": 2, "prompt": "(a:99)", "unknown": 1})
    assert kept == {"count": 2}
    found = problems({"steps": 0, "seed": "x", "count": 2, "prompt": "(a:99)", "unknown": 1})
    assert found == {"prompt": "E-WEIGHT", "steps": "E-STEPS", "seed": "E-SEED", "unknown": "E-API-ARGS"}


def test_fields_that_do_not_go_together_lose_the_one_that_is_complained_of():
    assert accepted(TextToImage, {"sampler": "LCM", "schedule": "karras"})[0] == {"sampler": "LCM"}


@pytest.mark.parametrize(
    "values",
    [
        {"prompt": "<lora:a:9><lora:a:9>", "steps": 3},
        {"prompt": "<lora:a:9>", "loras": [{"name": "a", "strength": 9}], "steps": 3},
        {"prompt": None, "steps": 3},
        {"loras": [{"name": 7}, 7], "steps": 3},
    ],
)
def test_whatever_is_wrong_the_rest_is_kept_and_it_ends(values):
    kept, found = accepted(TextToImage, values)
    assert kept["steps"] == 3
    assert len(found) == 1


def test_the_kind_is_no_value():
    assert accepted(TextToImage, {"kind": "nonsense", "steps": 3}) == ({"steps": 3}, [])
