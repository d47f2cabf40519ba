"""Presets as links: packed into an address and back, whatever stands there."""

import base64
import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as some

from presets.library import Library
from presets.links import LINK_LIMIT, preset_in, query_of
from presets.requests import KINDS
from presets.toml_files import FileRefused


def value_of(text: str) -> str:
    return base64.urlsafe_b64encode(zlib.compress(text.encode())).decode().rstrip("=")


BUILTIN = [(kind, preset.name) for kind in KINDS for preset in Library().presets(kind)]


@pytest.mark.parametrize(("kind", "name"), BUILTIN)
def test_every_preset_comes_back_from_its_link(kind, name):
    library = Library()
    parameter, _, value = query_of(library.exported(kind, name)).partition("=")
    before, after = library.find(kind, name), preset_in(value)
    assert parameter == "preset"
    assert (after.kind, after.title, after.help, after.values) == (kind, before.title, before.help, before.values)


def test_what_is_not_allowed_is_left_out_and_told():
    preset = preset_in(value_of('easel = 1\nkind = "text-to-image"\n[settings]\nsteps = 0\nprompt = "a cat"\n'))
    assert preset.values == {"prompt": "a cat"}
    assert "Steps" in preset.warnings[0]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", "damaged"),
        ("é", "damaged"),
        ("%%%", "damaged"),
        (value_of('kind = "text-to-image"')[:-6], "damaged"),
        (value_of("kind = "), "cannot be used"),
        (value_of('kind = "../../etc"'), "which kind"),
        (value_of('easel = 0\nkind = "inpaint"'), "version"),
        (value_of("a" * 2**20), "too long"),
        ("a" * (LINK_LIMIT + 1), "at most"),
    ],
)
def test_a_link_that_cannot_be_used_gets_a_sentence(value, words):
    with pytest.raises(FileRefused, match=words):
        preset_in(value)


@given(some.text(max_size=200) | some.binary(max_size=200).map(lambda data: base64.urlsafe_b64encode(data).decode()))
def test_whatever_stands_in_a_link_it_is_a_preset_or_a_sentence(value):
    with pytest.raises(FileRefused):
        preset_in(value)


def test_a_preset_too_long_for_an_address_says_so(tmp_path):
    noise = base64.b85encode(random.Random(0).randbytes(9000))
    (tmp_path / "long.toml").write_text(f"help = '''{noise.decode()}'''")
    with pytest.raises(FileRefused, match="share its file"):
        query_of(tmp_path / "long.toml")
