"""The request to make a picture larger: what it allows, and what it says where that is too much."""

import pytest
from pydantic import TypeAdapter

from presets.checks import parse
from presets.errors import InvalidField
from presets.images import ImageRef
from presets.requests import AnyRequest
from presets.upscale import Upscale

IMAGE = ImageRef(sha256="0" * 64, width=1000, height=600)


def refused(**values):
    with pytest.raises(InvalidField) as problem:
        parse(Upscale, {"image": IMAGE, **values})
    return problem.value


@pytest.mark.parametrize(
    ("values", "field", "code", "words"),
    [
        ({"factor": 0.5}, "factor", "E-FACTOR", "Allowed: 1 to 8"),
        ({"factor": 9}, "factor", "E-FACTOR", "Allowed: 1 to 8"),
        ({"factor": float("nan")}, "factor", "E-FACTOR", "finite"),
        ({"factor": "2"}, "factor", "E-FACTOR", "finite"),
        ({"factor": True}, "factor", "E-FACTOR", "finite"),
        ({"tile": 32}, "tile", "E-TILE", "64 to 4096"),
        ({"tile": 100.5}, "tile", "E-TILE", "whole number"),
        ({"overlap": -1}, "overlap", "E-TILE", "0 to 512"),
        ({"tile": 64, "overlap": 40}, "overlap", "E-TILE", "at most 32 is possible"),
        ({"tile": 64, "overlap": 100}, "overlap", "E-TILE", "over half a tile of 64"),
        ({"upscaler": "\ud800"}, "upscaler", "E-TEXT-ENCODING", ""),
        ({"upscaler": "a" * 301}, "upscaler", "E-UPSCALER", "at most 300"),
        ({"steps": 20}, "steps", "E-API-ARGS", "no parameter"),
        ({"image": None}, "image", "E-API-ARGS", "must be the file of a picture"),
    ],
)
def test_a_bad_value_is_a_sentence_about_its_field(values, field, code, words):
    problem = refused(**values)
    assert (problem.field, problem.code) == (field, code)
    assert words in problem.message and len(problem.message) <= 300


def test_a_missing_picture_is_a_sentence():
    with pytest.raises(InvalidField, match="choose one first"):
        parse(Upscale, {})


def test_a_result_that_is_too_large_is_told_before_with_the_factor_that_is_possible():
    large = ImageRef(sha256="0" * 64, width=4000, height=3000)
    problem = refused(image=large, factor=4)
    assert problem.message == (
        "4 times as large the picture would have 16000 × 12000 pixels; at most 33.6 Mpx and no side over 16,384 are "
        "possible, a factor of 1.67."
    )
    assert Upscale(image=large, factor=1.67).picture_size == (6680, 5010)
    assert "a factor of 4" in refused(image=ImageRef(sha256="0" * 64, width=4096, height=256), factor=4.5).message


def test_it_survives_json_and_needs_no_checkpoint():
    request = Upscale(image=IMAGE, upscaler="4x", factor=2.5, tile=256, overlap=16)
    again = TypeAdapter(AnyRequest).validate_json(request.model_dump_json())
    assert again == request
    assert (again.checkpoint_used, again.picture_count, again.picture_size) == ("", 1, (2500, 1500))
    assert (again.caption, again.file_mark, again.picture(0)) == ("Upscale", "upscale", request)
