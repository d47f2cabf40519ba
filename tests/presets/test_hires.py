"""The hires fix as values: what it allows, and in A1111's text."""

import pytest

from presets.checks import parse
from presets.errors import InvalidField
from presets.foreign_text import read
from presets.infotext import parameters_text
from presets.requests import TextToImage

HIRES = {"prompt": "a house", "hires_factor": 2}


@pytest.mark.parametrize(
    ("values", "field", "code", "words"),
    [
        ({"hires_factor": 0.5}, "hires_factor", "E-FACTOR", "1 to 4"),
        ({"hires_steps": 200}, "hires_steps", "E-STEPS", "0 to 150"),
        ({"hires_strength": 0}, "hires_strength", "E-STRENGTH", "0.01 to 1"),
        ({"hires_strength": 0.1, "hires_steps": 5}, "hires_strength", "E-STRENGTH", "it takes at least 0.2"),
        ({"hires_sampler": "Eulr"}, "hires_sampler", "E-SCHEDULER", "Did you mean 'Euler'"),
        ({"hires_sampler": "LCM", "schedule": "karras"}, "hires_sampler", "E-SCHEDULER", "does not go with hires"),
        ({"hires_prompt": "a" * 20_001}, "hires_prompt", "E-PROMPT-LONG", "20,001 characters"),
    ],
)  # fmt: skip
def test_a_bad_value_is_a_sentence_about_its_field(values, field, code, words):
    with pytest.raises(InvalidField) as problem:
        parse(TextToImage, {**HIRES, **values})
    assert (problem.value.field, problem.value.code) == (field, code)
    assert words in problem.value.message


def test_the_second_part_is_a_request_of_its_own():
    request = TextToImage(**HIRES, hires_prompt="a castle", hires_steps=9, hires_sampler="Euler").resolved("", (64, 96))
    larger = request.drawn_on()
    assert (request.canvas, request.picture_size, request.largest_canvas) == ((64, 96), (128, 192), (128, 192))
    assert (larger.canvas, larger.steps, larger.sampler, larger.prompt) == ((128, 192), 9, "Euler", "a castle")
    assert not larger.is_drawn_on and larger.seed == request.seed


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"hires_upscaler": "lanczos", "hires_steps": 12, "hires_strength": 0.35, "hires_factor": 1.5},
        {"hires_upscaler": "4x-UltraSharp", "hires_sampler": "DPM++ 2M", "hires_prompt": "a house, a tree: detailed"},
    ],
)
def test_it_survives_a1111s_text(values):
    request = TextToImage(**{**HIRES, "seed": 7, "width": 64, "height": 64, **values})
    told = read(parameters_text(request)).values
    names = ("hires_factor", "hires_steps", "hires_strength", "hires_upscaler", "hires_sampler", "hires_prompt")
    fields = {name: told[name] for name in names if name in told}
    assert TextToImage(**{**HIRES, "seed": 7, "width": 64, "height": 64, **fields}) == request


def test_a1111s_own_text_is_read():
    told = read(
        "a house\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512, Denoising strength: 0.7, "
        "Hires upscale: 2, Hires steps: 10, Hires upscaler: Latent (nearest-exact), Version: v1.10.1"
    )
    assert told.values["hires_factor"] == 2 and told.values["hires_upscaler"] == "latent"
    assert told.values["hires_strength"] == 0.7 and told.values["hires_steps"] == 10
    assert not {"Hires upscale", "Denoising strength"} & told.rest.keys()


def test_without_it_the_text_says_nothing_of_it():
    assert "Hires" not in parameters_text(TextToImage(prompt="a", hires_strength=0.3))
