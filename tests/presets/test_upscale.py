"""The request to make a picture larger: what it allows, and what it says where that is too much."""

import pytest
from pydantic import TypeAdapter

from presets.checks import parse
from presets.errors import InvalidField
from presets.images import ImageRef
from presets.infotext import parameters_text
from presets.requests import AnyRequest
from presets.upscale import Upscale
from tests.fake_engine import STORYBOOK, FakeInventory

IMAGE = ImageRef(sha256="0" * 64, width=1000, height=600)
SMALL = ImageRef(sha256="0" * 64, width=300, height=20)
DRAWN = {"redraw_strength": 0.5}


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
        ({"width": 20}, "width", "E-API-ARGS", "no parameter"),
        ({"redraw_strength": 1.1}, "redraw_strength", "E-STRENGTH", "0 to 1"),
        ({"redraw_strength": 0.04}, "redraw_strength", "E-STRENGTH", "leaves no step to do; it takes at least 0.05"),
        ({"redraw_tile": 100}, "redraw_tile", "E-TILE", "the nearest is 96"),
        ({"redraw_overlap": 0.6}, "redraw_overlap", "E-TILE", "0 to 0.5"),
        ({"tile_control": "a" * 301}, "tile_control", "E-CONTROL-UNKNOWN", "at most 300"),
        ({"tile_control_weight": 3}, "tile_control_weight", "E-WEIGHT", "0 to 2"),
        ({"face_restorer": "a" * 301}, "face_restorer", "E-FACE-RESTORER", "at most 300"),
        ({"face_restorer": "x", "image": SMALL, "factor": 1}, "face_restorer", "E-FACE-RESTORER", "300 × 20 pixels"),
        ({"face_strength": -0.1}, "face_strength", "E-STRENGTH", "0 to 1"),
        ({"keep_colours": 1}, "keep_colours", "E-API-ARGS", "boolean"),
        ({"prompt": "(a:99)"}, "prompt", "E-WEIGHT", ""),
        (
            {"redraw_strength": 0.5, "sampler": "LCM", "schedule": "karras"},
            "schedule",
            "E-SCHEDULER",
            "does not go with",
        ),
        (
            {"redraw_strength": 0.5, "prompt": "<lora:{ink}:9> <lora:{ink}:9>"},
            "prompt",
            "E-WEIGHT",
            "'{ink}' add up to 18",
        ),
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


def test_without_a_strength_no_checkpoint_is_asked_for_anything():
    plain = Upscale(image=IMAGE, checkpoint="gone", sampler="LCM", schedule="karras").settled(FakeInventory(None))
    assert (plain.checkpoint_used, plain.tile_drawing(), parameters_text(plain)) == ("", None, "")
    assert plain.without_effect >= {"prompt", "steps", "seed", "redraw_tile", "face_strength"}
    assert "factor" not in plain.without_effect


def test_what_is_drawn_anew_is_settled_to_the_last_detail():
    asked = Upscale(image=IMAGE, redraw_strength=0.3, prompt="a house", tile_control="outline")
    settled = asked.settled(FakeInventory(STORYBOOK))
    assert (settled.checkpoint_used, settled.redraw_tile, settled.seed >= 0) == ("Storybook", 128, True)
    assert settled.redraw_common == 32 and settled.settled(FakeInventory(STORYBOOK)) == settled
    assert settled.work > 5 * Upscale(image=IMAGE).work
    assert {"a house", "Storybook", str(settled.seed)} <= set(settled.searched)
    tile = settled.tile_drawing()
    assert tile and (tile.canvas, tile.strength, tile.seed) == ((128, 128), 0.3, settled.seed)


def test_lora_tags_that_are_repeated_are_told():
    request = Upscale(image=IMAGE, redraw_strength=0.3, prompt="<lora:ink:1> <lora:ink:1>")
    assert request.warnings == ("LoRA 'ink' is named 2 times; its strengths are added up to 2.",)


def test_a1111s_text_tells_it_as_its_script_does():
    request = Upscale(image=IMAGE, redraw_strength=0.3, prompt="a house", seed=7, upscaler="lanczos", redraw_tile=128)
    text = parameters_text(request)
    assert text.startswith("a house\nSteps: 20, ") and "Size: 128x128, " in text
    assert "Denoising strength: 0.3, " in text and "SD upscale overlap: 32, SD upscale upscaler: Lanczos" in text
    with_faces = request.model_copy(update={"face_restorer": "GFPGANv1.4"})
    assert ", Face restoration: GFPGANv1.4, " in parameters_text(with_faces) and "Face" not in text
