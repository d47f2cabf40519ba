"""The prompt syntax, and that it stands every text."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from presets.checks import parse as parse_request
from presets.drawing import LoraUse
from presets.errors import InvalidField
from presets.prompts import LoraTag, PromptWeight, parse, with_loras_named
from presets.requests import TextToImage


def fragments(text):
    return [[(fragment.text, round(fragment.weight, 4)) for fragment in part] for part in parse(text).parts]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a house", [("a house", 1.0)]),
        ("a (red) house", [("a ", 1.0), ("red", 1.1), (" house", 1.0)]),
        ("((red))", [("red", 1.21)]),
        ("(red:1.3)", [("red", 1.3)]),
        ("(red: -.5 )", [("red", -0.5)]),
        ("[red]", [("red", 0.9091)]),
        ("(a [b:c] (d:0.5))", [("a ", 1.1), ("b:c", 1.0), (" ", 1.1), ("d", 0.55)]),
        (r"a \(b\) \[c\] \\", [(r"a (b) [c] \ "[:-1], 1.0)]),
        (r"\o/", [(r"\o/", 1.0)]),
    ],
)
def test_brackets_and_numbers_weigh_the_text_between_them(text, expected):
    assert fragments(text) == [expected]


@pytest.mark.parametrize("text", ["((a:1.3", "[a|b", "a) b]", "a :1.3)", "{a|b}", "__name__", "(", "a ] ( b"])
def test_what_has_no_partner_or_is_no_syntax_here_is_plain_text(text):
    assert fragments(text) == [[(text, 1.0)]]


def test_a_bracket_that_another_pair_cuts_off_is_plain_text():
    assert fragments("(a [b) c]") == [[("a [b", 1.1), (" c]", 1.0)]]


def test_break_begins_a_part_even_within_brackets():
    assert fragments("a BREAK (b BREAK c:2)") == [[("a ", 1.0)], [(" ", 1.0), ("b ", 2.0)], [(" c", 2.0)]]


def test_break_is_an_own_word_in_upper_case():
    assert len(fragments("break BREAKFAST day_BREAK")) == 1


@pytest.mark.parametrize("weight", ["nan", "inf", "1e9", "-10.5", "11", "1.2.3", "NaN"])
def test_a_weight_that_is_no_number_within_ten_is_named(weight):
    with pytest.raises(PromptWeight) as caught:
        parse(f"a (b:{weight}) c")
    assert repr(weight) in caught.value.message
    assert caught.value.code == "E-WEIGHT"


def test_brackets_that_multiply_to_more_than_ten_are_refused():
    with pytest.raises(PromptWeight):
        parse("(" * 25 + "a" + ")" * 25)


def test_lora_tags_are_taken_out_of_the_text_and_stay_mere_names():
    parsed = parse("a <lora:../../etc/passwd:1> <lora:Ink:-0.5><lora:plain>house")
    assert parsed.loras == (LoraTag("../../etc/passwd", 1.0), LoraTag("Ink", -0.5), LoraTag("plain", 1.0))
    assert [fragment.text for fragment in parsed.parts[0]] == ["a  house"]


def test_the_strength_of_a_tag_is_checked_as_a_weight():
    with pytest.raises(PromptWeight):
        parse("<lora:ink:nan>")


@given(st.text(alphabet=st.sampled_from("ab(:)[]\\<>1.-e BREAKlora:naninf,")) | st.text())
def test_every_text_is_read_or_refused_for_a_weight(text):
    try:
        parsed = parse(text)
    except PromptWeight:
        return
    assert parsed.parts
    assert all(abs(fragment.weight) <= 10 for part in parsed.parts for fragment in part)


@given(st.text(alphabet=st.characters(exclude_characters="()[]\\<", exclude_categories=("Cs",))))
def test_text_without_syntax_comes_back_as_it_is(text):
    joined = "BREAK".join("".join(fragment.text for fragment in part) for part in parse(text).parts)
    assert joined == text


@pytest.mark.parametrize("unit", ["(", "([", "()", "[(a:1)]", ":", " ", "<lora:", "\\", "BREAK ", "([)", "(a:", "1"])
def test_no_text_takes_long(unit):
    started = time.perf_counter()
    for text in (unit * (20_000 // len(unit)), ":" + unit * (19_999 // len(unit)), "(" + unit * (19_999 // len(unit))):
        parse(text)
    assert time.perf_counter() - started < 3


def test_a_request_with_a_refused_weight_is_refused_at_once():
    for field in ("prompt", "negative_prompt"):
        with pytest.raises(InvalidField) as caught:
            parse_request(TextToImage, {"prompt": "a", field: "(b:1e9)"})
        assert (caught.value.field, caught.value.code) == (field, "E-WEIGHT")


def test_a_tag_may_have_a_strength_of_its_own_for_the_text_encoders():
    assert parse("<lora:Ink:0.5:-1>").loras == (LoraTag("Ink", 0.5, -1.0),)
    for text in ("<lora:ink:1:nan>", "<lora:ink:1:11>", "<lora:ink:1:2:3>"):
        with pytest.raises(PromptWeight):
            parse(text)


def test_tags_are_named_anew_where_the_name_can_stand_in_one():
    text = "a <lora:Ink:.50> <lora:ink> <lora:wool:1:2> (b:1.1)"
    names = {"Ink": "style/ink", "ink": "a:b", "wool": "<x>"}
    assert with_loras_named(text, names) == "a <lora:style/ink:.50> <lora:ink> <lora:wool:1:2> (b:1.1)"


def test_strengths_for_the_text_encoders_add_up_by_themselves():
    request = TextToImage(prompt="<lora:ink:0.5:0> <lora:oil:1:1>", loras=(LoraUse(name="ink", strength=0.25),))
    ink = LoraUse(name="ink", strength=0.75, text_encoder_strength=0.25)
    assert request.all_loras == (ink, LoraUse(name="oil"))
    assert any("'ink' is named 2 times" in warning for warning in request.warnings)
    with pytest.raises(InvalidField, match="add up to 12"):
        parse_request(TextToImage, {"prompt": "<lora:ink:1:6> <lora:ink:1:6>"})


def test_loras_of_the_list_and_of_the_prompt_are_one_list():
    request = TextToImage(prompt="<lora:ink:0.5> <lora:oil:1>", loras=(LoraUse(name="ink", strength=0.25),))
    assert request.all_loras == (LoraUse(name="ink", strength=0.75), LoraUse(name="oil", strength=1.0))


def test_strengths_of_one_lora_must_not_add_up_to_more_than_ten():
    with pytest.raises(InvalidField) as caught:
        parse_request(TextToImage, {"prompt": "<lora:ink:9> <lora:ink:2>"})
    assert caught.value.code == "E-WEIGHT"


def test_a_tag_in_the_negative_prompt_is_warned_of():
    assert any("negative" in warning for warning in TextToImage(prompt="", negative_prompt="<lora:a:1>").warnings)
