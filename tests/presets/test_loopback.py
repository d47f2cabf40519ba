"""Rounds of a redrawing: their strengths as in A1111's script, their seeds, what cannot be."""

import pytest

from presets.checks import parse
from presets.errors import InvalidField
from presets.images import ImageRef
from presets.metadata import parameters_text
from presets.requests import ImageToImage

PHOTO = ImageRef(sha256="ab" * 32, width=64, height=64)


def asked(**values) -> ImageToImage:
    return parse(ImageToImage, {"prompt": "a", "image": PHOTO, **values})


@pytest.mark.parametrize(
    ("curve", "strengths"),
    [
        ("linear", (0.6, 0.5, 0.4, 0.3)),
        ("aggressive", (0.6, 0.45, 0.340192, 0.3)),
        ("lazy", (0.6, 0.559808, 0.45, 0.3)),
    ],
)
def test_the_strength_follows_a1111s_curves_to_the_final_one(curve, strengths):
    assert asked(rounds=4, strength=0.6, final_strength=0.3, strength_curve=curve).strengths == strengths


def test_without_a_final_strength_all_rounds_have_the_same():
    assert asked(rounds=3, strength=0.35).strengths == (0.35,) * 3
    assert asked(strength=0.35, final_strength=0.9).strengths == (0.35,)


def test_each_round_has_the_next_seed_and_is_one_of_its_own():
    last = asked(rounds=4, seed=2**53 - 2, strength=0.6, final_strength=0.3).round(2)
    assert (last.seed, last.rounds, last.strengths) == (0, 1, (0.4,))


@pytest.mark.parametrize(
    ("values", "field", "code", "words"),
    [
        ({"rounds": 0}, "rounds", "E-ROUNDS", "1 to 32"),
        ({"rounds": 33}, "rounds", "E-ROUNDS", "1 to 32"),
        ({"rounds": 2.5}, "rounds", "E-ROUNDS", "whole number"),
        ({"rounds": True}, "rounds", "E-ROUNDS", "whole number"),
        ({"final_strength": 1.5}, "final_strength", "E-STRENGTH", "0 to 1"),
        ({"final_strength": float("nan")}, "final_strength", "E-STRENGTH", "finite"),
        ({"strength_curve": "cubic"}, "strength_curve", "E-API-ARGS", "linear, aggressive, lazy"),
        ({"rounds": 3, "final_strength": 0.02}, "final_strength", "E-STRENGTH", "0.02 of 20 steps leaves no step"),
    ],
)
def test_what_cannot_be_is_refused_by_name(values, field, code, words):
    with pytest.raises(InvalidField, match=words) as refused:
        asked(**values)
    assert (refused.value.field, refused.value.code) == (field, code)


def test_all_rounds_count_as_work():
    request = asked(rounds=2, strength=0.5, final_strength=0.25, width=64, height=64, steps=8)
    assert request.work == 64 * 64 * 8 * 0.75


def test_a1111s_text_names_them_and_a_single_round_has_none():
    text = parameters_text(asked(rounds=4, strength=0.6, final_strength=0.3, strength_curve="lazy"))
    assert "Denoising strength: 0.6, Final denoising strength: 0.3, Denoising curve: Lazy, Loops: 4" in text
    assert "Loops" not in parameters_text(asked(final_strength=0.3))


def test_what_has_no_effect_is_not_listed():
    assert asked(final_strength=0.3).without_effect == {"rounds", "final_strength", "strength_curve"}
    assert asked(rounds=2).without_effect == {"strength_curve"}
    assert asked(rounds=2, final_strength=0.3).without_effect == set()
