from pathlib import Path

import pytest

from presets.errors import InvalidField
from presets.requests import TextToImage
from presets.styles import BUILTIN, StyleNotFound, Styles

OWN = """
easel = 1
[[styles]]
name = "Woods"
prompt = "{prompt} in the woods"
negative_prompt = "town"
[[styles]]
name = "Bright"
prompt = "bright"
[[styles]]
name = "Photo"
prompt = "my photo of {prompt}"
"""


@pytest.fixture
def styles(tmp_path: Path) -> Styles:
    (tmp_path / "styles.toml").write_text(OWN)
    return Styles(tmp_path / "styles.toml")


def worded(styles: Styles, *names: str, prompt: str = "a house", negative: str = "") -> tuple[str, str]:
    request = styles.applied(TextToImage(prompt=prompt, negative_prompt=negative, styles=names))
    assert request.styles == ()
    return request.prompt, request.negative_prompt


def test_a_style_lays_its_words_around_the_prompts(styles):
    assert worded(styles, "Woods") == ("a house in the woods", "town")
    assert worded(styles, "Bright", negative="fog") == ("a house, bright", "fog")


def test_styles_stack_in_their_order(styles):
    assert worded(styles, "Woods", "Bright", negative="fog") == ("a house in the woods, bright", "fog, town")
    assert worded(styles, "Bright", "Woods") == ("a house, bright in the woods", "town")


def test_an_empty_prompt_leaves_the_style_alone(styles):
    assert worded(styles, "Bright", prompt="") == ("bright", "")


def test_what_has_been_worded_is_not_worded_again(styles):
    once = styles.applied(TextToImage(prompt="a house", styles=("Bright",)))
    assert styles.applied(once) == once


def test_own_styles_win_over_the_built_in_ones_of_their_name(styles):
    assert worded(styles, "photo")[0] == "my photo of a house"
    assert styles.names().count("Photo") == 1


def test_the_words_of_a_prompt_are_never_taken_for_a_place(styles):
    assert worded(styles, "Woods", "Bright", prompt="{prompt} {0} %s")[0] == "{prompt} {0} %s in the woods, bright"


def test_an_unknown_style_is_refused_with_the_nearest(styles):
    with pytest.raises(StyleNotFound, match=r"'Wods'. Did you mean 'Woods'\? \[E-STYLE-UNKNOWN\]"):
        worded(styles, "Wods")


def test_a_prompt_that_gets_too_long_is_refused(styles):
    with pytest.raises(InvalidField, match="E-PROMPT-LONG"):
        worded(styles, "Woods", prompt="x" * 19_995)


def test_built_in_styles_are_all_usable():
    names = Styles().names()
    assert len(names) >= 10
    assert len(names) == BUILTIN.read_text(encoding="utf-8").count("[[styles]]")
    assert worded(Styles(), *names[:16])[0]


@pytest.mark.parametrize("text", ["", "styles = 7", "x = ", "[[styles]]\nname = 7", "styles = [7]", "#" * 300_000])
def test_a_file_that_cannot_be_used_costs_only_its_own_styles(tmp_path, text):
    path = tmp_path / "styles.toml"
    path.write_text(text)
    assert Styles(path).names() == Styles().names()
    assert len(Styles(path).problems()) == (text in ("styles = 7", "x = ") or len(text) > 1000)
