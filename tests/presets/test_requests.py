import functools
import json
import math

import pytest
from pydantic import ValidationError

from presets.checks import allowed_values, field_extra, parse
from presets.drawing import LoraUse
from presets.errors import MESSAGE_LIMIT, InvalidField, shortened
from presets.requests import KINDS, TextToImage
from presets.samplers import SAMPLERS, SCHEDULES_OF

SIZES = [0, -8, 8, 63, 65, 2049, 2056, 10**6, 10**30, math.nan, math.inf, 64.5, True, "512", [512]]
STEPS = [0, -1, 151, 1001, 2.5, math.nan, True, "20", None, 10**400]
SCALES = [math.nan, math.inf, -math.inf, -5, 30.1, 1e9, True, "7", None, 10**400, -(10**5000)]
SEEDS = [-2, 2**53, 2**64, 1.5, math.nan, "1.5", "seven", "", True, None, "9" * 5000, "٣", 10**5000]
COUNTS = [0, -1, 9, 1000, 1.5, True, "2", None, [10**5000]]
DEEP = functools.reduce(lambda inner, _: [inner], range(100_000), [])

REFUSED = [
    *(("prompt", "E-PROMPT-LONG", value) for value in ["x" * 20_001, "x" * 200_000]),
    ("negative_prompt", "E-PROMPT-LONG", "x" * 20_001),
    *((name, "E-TEXT-ENCODING", "a \ud800 house") for name in ("prompt", "negative_prompt", "checkpoint")),
    *((name, "E-API-ARGS", value) for name in ("prompt", "negative_prompt") for value in [None, 7, ["x"], True]),
    *((name, "E-SIZE", value) for name in ("width", "height") for value in SIZES),
    *(("steps", "E-STEPS", value) for value in STEPS),
    *(("guidance_scale", "E-CFG", value) for value in SCALES),
    *(("seed", "E-SEED", value) for value in SEEDS),
    *(("count", "E-BATCH", value) for value in COUNTS),
    *(("vae", "E-API-ARGS", value) for value in [None, 3, ["x"]]),
    *(("clip_skip", "E-CLIP-SKIP", value) for value in [0, 13, 1.5, "2", True]),
    *(("sampler", "E-SCHEDULER", value) for value in ["", "euler", "DPM++ 2M Karras", 3, None, DEEP]),
    ("sampler", "E-SCHEDULER", "<script>" * 100_000),
    *(("schedule", "E-SCHEDULER", value) for value in ["Karras", "", 1]),
    *(("loras", "E-WEIGHT", [{"name": "ink", "strength": value}]) for value in [math.nan, 10.5, 10**400, "1", True]),
    ("loras", "E-API-ARGS", DEEP),
    ("loras", "E-API-ARGS", [{"name": 10**5000}]),
    ("loras", "E-TEXT-ENCODING", [{"name": "\udfff"}]),
    ("loras", "E-LORA", [{"name": "ink"}] * 17),
    ("loras", "E-API-ARGS", "ink"),
    ("loras", "E-API-ARGS", [{"name": "ink", "weight": 1}]),
    ("loras", "E-API-ARGS", [{}]),
    ("unknown", "E-API-ARGS", 1),
    *(("kind", "E-API-ARGS", value) for value in ["x", "", None, DEEP]),
]


def shown(value: object) -> str:
    return shortened(value, 20)


@pytest.mark.parametrize(("field", "code", "value"), REFUSED, ids=shown)
def test_a_value_that_cannot_be_used_is_refused_with_its_field_and_code(field, code, value):
    with pytest.raises(InvalidField) as refused:
        parse(TextToImage, {"prompt": "a house", field: value})
    error = refused.value
    assert (error.field, error.code) == (field, code)
    assert 10 < len(error.message) <= MESSAGE_LIMIT
    assert error.message.endswith(".")
    json.dumps(error.message, ensure_ascii=False).encode("utf-8")


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("height", 65, "Height cannot be 65: must be a multiple of 8; the nearest is 64. Allowed: 64 to 2048"),
        ("height", 2047, "the nearest is 2048"),
        ("steps", 2.5, "Steps cannot be 2.5: must be a whole number. Allowed: 1 to 150."),
        ("guidance_scale", math.nan, "Guidance scale cannot be nan: must be a finite number. Allowed: 0 to 30."),
        ("prompt", "x" * 20_001, "Prompt has 20,001 characters; at most 20,000 are allowed."),
        ("steps", 10**5000, "Steps cannot be a number of over 300 digits: "),
        ("sampler", "Eulr", "Did you mean 'Euler'?"),
        ("sampler", 3, "Sampler cannot be 3. Allowed: Euler,"),
        ("kind", "x", "kind cannot be 'x'. It must be 'text-to-image'."),
        ("loras", [{"name": "ink", "strength": 11}], "from -10 to 10"),
    ],
    ids=shown,
)
def test_the_sentence_says_what_was_given_and_what_is_allowed(field, value, sentence):
    with pytest.raises(InvalidField) as refused:
        parse(TextToImage, {"prompt": "", field: value})
    assert sentence in refused.value.message


def test_a_missing_prompt_is_named():
    with pytest.raises(InvalidField, match=r"'prompt' is required. \[E-API-ARGS\]"):
        parse(TextToImage, {})


def test_a_misspelt_parameter_is_answered_with_the_known_ones():
    with pytest.raises(InvalidField, match="no parameter 'promt'. Of .* the nearest are: prompt, "):
        parse(TextToImage, {"prompt": "", "promt": "x"})


@pytest.mark.parametrize(
    ("field", "value", "kept"),
    [
        ("prompt", "", ""),
        ("prompt", "x" * 20_000, "x" * 20_000),
        ("prompt", "<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("prompt", "abc\u202edef", "abc\u202edef"),
        ("prompt", "((a:1.3", "((a:1.3"),
        ("width", 64, 64),
        ("width", 2048, 2048),
        ("width", 512.0, 512),
        ("width", None, None),
        ("steps", 150, 150),
        ("steps", 20.0, 20),
        ("guidance_scale", 0, 0.0),
        ("guidance_scale", 30, 30.0),
        ("seed", "7", 7),
        ("seed", " -1 ", -1),
        ("seed", str(2**53 - 1), 2**53 - 1),
        ("count", 8, 8),
        ("loras", [{"name": "../../etc/passwd", "strength": -10}], (LoraUse(name="../../etc/passwd", strength=-10),)),
    ],
    ids=shown,
)
def test_a_value_at_the_edge_of_what_is_allowed_is_kept(field, value, kept):
    assert getattr(parse(TextToImage, {"prompt": "a house", field: value}), field) == kept


def test_a_size_that_rounds_outside_of_the_bounds_is_not_offered():
    with pytest.raises(InvalidField) as refused:
        parse(TextToImage, {"prompt": "", "width": 2050})
    assert "2056" not in refused.value.message


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_schedule_goes_only_with_samplers_that_take_it(sampler):
    for schedule in ("automatic", "karras"):
        values = {"prompt": "", "sampler": sampler, "schedule": schedule}
        if schedule in SCHEDULES_OF[sampler]:
            assert parse(TextToImage, values).schedule == schedule
            continue
        with pytest.raises(InvalidField, match="does not go with") as refused:
            parse(TextToImage, values)
        assert (refused.value.field, refused.value.code) == ("schedule", "E-SCHEDULER")


def test_a_request_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        TextToImage(prompt="a house").prompt = "a tree"


def test_resolving_leaves_nothing_to_chance():
    resolved = TextToImage(prompt="a\x00 house\r\nby the sea\x9b").resolved("Storybook", (128, 96))
    assert (resolved.width, resolved.height, resolved.checkpoint) == (128, 96, "Storybook")
    assert resolved.prompt == "a house\nby the sea"
    assert 0 <= resolved.seed < 2**32


def test_resolving_keeps_what_was_asked_for_and_resolving_again_changes_nothing():
    request = TextToImage(prompt="a house", width=64, seed=0)
    resolved = request.resolved("Storybook", (128, 96))
    assert (resolved.width, resolved.height, resolved.seed) == (64, 96, 0)
    assert resolved.resolved("Storybook", (512, 512)) == resolved


def test_a_random_seed_is_drawn_anew_each_time():
    assert len({TextToImage(prompt="").resolved("", (64, 64)).seed for _ in range(20)}) > 1


def test_each_picture_of_a_request_has_the_next_seed_and_stands_alone():
    request = TextToImage(prompt="", seed=2**53 - 2, count=3)
    assert [(request.picture(index).seed, request.picture(index).count) for index in range(3)] == [
        (2**53 - 2, 1),
        (2**53 - 1, 1),
        (0, 1),
    ]


def test_removed_control_characters_are_warned_of_and_others_are_not():
    assert TextToImage(prompt="a\tb\r\nc \u202e", checkpoint="\x00").warnings == ()
    (warning,) = TextToImage(prompt="", negative_prompt="\x07").warnings
    assert "negative prompt" in warning


@pytest.mark.parametrize("make", [lambda **values: parse(TextToImage, values), TextToImage])
def test_control_characters_are_removed_before_anything_reads_the_prompt(make):
    request = make(prompt="(a:1\x000)", count=2)
    assert (request.prompt, len(request.warnings)) == ("(a:10)", 1)
    assert request.resolved("", (64, 64)).picture(1).warnings == request.warnings
    with pytest.raises((InvalidField, ValidationError), match="1e9"):
        make(prompt="(a:1\x00e9)")


def test_a_prompt_is_as_long_as_what_is_left_of_it():
    assert len(parse(TextToImage, {"prompt": "x" * 20_000 + "\x00" * 10}).prompt) == 20_000


def test_a_request_that_was_written_down_and_read_again_is_clean():
    request = TextToImage(prompt="a\x00 house")
    again = TextToImage.model_validate_json(request.model_dump_json())
    assert (again.prompt, again.warnings) == ("a house", ())
    assert {again, request} == {request}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_field_says_what_the_faces_need(kind):
    for name in kind.model_fields.keys() - {"kind"}:
        assert kind.model_fields[name].description
        extra = field_extra(kind, name)
        assert extra["code"].startswith("E-") and extra["label"] and extra["group"] in ("basic", "advanced")


def test_bounds_are_told_in_words():
    assert allowed_values(TextToImage, "steps") == "1 to 150"
    assert allowed_values(TextToImage, "width") == "64 to 2048 in steps of 8"
    assert allowed_values(TextToImage, "schedule").startswith("automatic, normal")
    assert allowed_values(TextToImage, "prompt") == ""
