import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from presets.drawing import LoraUse
from presets.foreign_text import read
from presets.infotext import pairs_of, parameters_text, parse
from presets.prompts import without_loras
from presets.requests import TextToImage
from presets.samplers import SCHEDULES_OF

FULL = """a red house <lora:ink:0.8>
by the sea
Negative prompt: blurry
grey
Steps: 30, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7.5, Seed: 123, Size: 512x768, \
Model hash: 6ce0161689, Model: "a, b", Clip skip: 2, Lora hashes: "ink: 0123456789ab", Version: v1.10.1"""

lines = some.text(some.characters(exclude_categories=["C", "Z"], exclude_characters="()[]\\<>"), max_size=30)
prompts = some.lists(lines, max_size=4).map("\n".join)
names = some.text(some.characters(exclude_categories=["Cs", "Cc"]), max_size=30)
sampling = some.sampled_from([(sampler, schedule) for sampler, all in SCHEDULES_OF.items() for schedule in all])
sides = some.integers(8, 256).map(lambda side: side * 8)


@some.composite
def requests(draw: some.DrawFn) -> TextToImage:
    sampler, schedule = draw(sampling)
    return TextToImage(
        prompt=draw(prompts),
        negative_prompt=draw(prompts),
        checkpoint=draw(names),
        vae=draw(names),
        steps=draw(some.integers(1, 150)),
        width=draw(sides),
        height=draw(sides),
        seed=draw(some.integers(0, 2**53 - 1)),
        guidance_scale=draw(some.floats(0, 30)),
        token_merging=draw(some.floats(0, 0.75)),
        sampler=sampler,
        schedule=schedule,
        clip_skip=draw(some.integers(1, 12)),
        loras=draw(some.sampled_from([(), (LoraUse(name="ink", strength=0.1, text_encoder_strength=-2),)])),
    )


def known_to_the_grammar(request: TextToImage) -> dict[str, object]:
    """The fields that the text has, prompts without what it loses."""
    values = request.model_dump(exclude={"kind", "count", "guidance_end", "loras"})
    return values | {name: as_kept(values[name]) for name in ("prompt", "negative_prompt")}


def as_kept(prompt: str) -> str:
    return "\n".join(line.strip() for line in prompt.split("\n")).strip("\n")


@given(request=requests())
@settings(max_examples=200, deadline=None)
def test_any_request_survives_the_text_in_the_fields_that_its_grammar_knows(request):
    told = read(parameters_text(request))
    assert told and told.program == "Easel"
    files = {"checkpoint": told.checkpoint, "vae": told.vae}
    again = TextToImage(**told.values, **{name: file.name for name, file in files.items() if file})
    assert again.all_loras == request.all_loras
    again = again.model_copy(update={"prompt": without_loras(again.prompt, {"ink"})})
    expected = known_to_the_grammar(request)
    expected |= {name: "" for name in files if expected[name].strip() in ("", "None", "Automatic")}
    assert known_to_the_grammar(again) == expected


def test_the_text_is_taken_apart_as_a1111_does():
    found = parse(FULL)
    assert found.prompt == "a red house <lora:ink:0.8>\nby the sea"
    assert found.negative_prompt == "blurry\ngrey"
    assert (found.pairs["Size"], found.pairs["Model"], found.pairs["Lora hashes"]) == (
        "512x768",
        "a, b",
        "ink: 0123456789ab",
    )


def test_the_hashes_of_loras_are_written_as_a1111_does_and_read():
    request = TextToImage(prompt="a <lora:my.wool:1>", loras=[{"name": "a/ink, b"}, {"name": "gone"}])
    text = parameters_text(request, {"lora:my.wool": "ab" * 32, "lora:a/ink, b": "cd" * 32})
    assert ', Lora hashes: "a/ink b: cdcdcdcdcdcd, my.wool: abababababab", Version: ' in text
    told = read(text)
    assert told and told.lora_hashes == {"a/ink b": "cdcdcdcdcdcd", "my.wool": "abababababab"}


@pytest.mark.parametrize("text", ["a house", "a house\nby: the sea, at: sunset", ""])
def test_a_last_line_of_fewer_than_three_pairs_is_text(text):
    assert (parse(text).prompt, parse(text).pairs) == (text, {})


def test_the_beginning_of_a_negative_prompt_is_told_by_its_case():
    assert parse("a\nnegative prompt: b\nSteps: 1, Seed: 2, Size: 3x4").prompt == "a\nnegative prompt: b"


def test_the_bare_json_of_civitai_is_no_end_of_a_value():
    pairs = pairs_of('Seed: 7, Civitai resources: [{"type":"lora","weight":0.5}], Clip skip: 2')
    assert pairs == {"Seed": "7", "Clip skip": "2", "Civitai resources": '[{"type":"lora","weight":0.5}]'}


@pytest.mark.parametrize("part", ["a", "a:", 'a:"', 'a:"\\', "a: ", "Civitai resources: [", 'a:",', "a:,"])
def test_no_text_takes_long(part):
    start = time.process_time()
    parse(part * (2**20 // len(part)))
    parse(part * (99_000 // len(part)))
    assert time.process_time() - start < 2
