"""Style references as values: bounds, names as installed, what a preset keeps, and through every door."""

import pytest

from presets.available import Available, localised
from presets.checks import parse
from presets.errors import InvalidField
from presets.images import ImageMissing, ImageRef
from presets.inputs import Inputs
from presets.parts import without_pictures
from presets.requests import ImageToImage, TextToImage
from tests.fake_engine import STORYBOOK, FakeInventory

PHOTO = ImageRef(sha256="ab" * 32, width=64, height=64)


def asked(*references, **values) -> TextToImage:
    return parse(TextToImage, {"prompt": "a", "references": references, **values})


@pytest.mark.parametrize(
    ("reference", "code", "words"),
    [
        ({"weight": 3}, "E-WEIGHT", "0 to 2"),
        ({"weight": float("nan")}, "E-WEIGHT", "finite"),
        ({"weight": "1"}, "E-WEIGHT", "finite"),
        ({"picture": "a.png"}, "E-API-ARGS", "must be the file of a picture"),
        ({"scale": 1}, "E-", "scale"),
    ],
)
def test_what_cannot_be_is_refused_with_the_number_of_the_reference(reference, code, words):
    with pytest.raises(InvalidField, match=words) as refused:
        asked({"picture": PHOTO}, {"picture": PHOTO} | reference)
    assert refused.value.field == "references" and refused.value.code.startswith(code)


def test_more_than_three_are_refused():
    with pytest.raises(InvalidField) as refused:
        asked(*({"picture": PHOTO} for _ in range(4)))
    assert (refused.value.field, refused.value.code) == ("references", "E-REFERENCE")


def test_one_without_a_picture_or_whose_picture_is_gone_is_refused_before_the_run(tmp_path):
    inputs = Inputs(tmp_path)
    with pytest.raises(InvalidField, match=r"Style reference 2 has no picture: choose one, .* \[E-IMAGE\]"):
        asked({"picture": PHOTO}, {"weight": 0.5}).examined(inputs)
    with pytest.raises(ImageMissing) as gone:
        asked({"picture": PHOTO}).examined(inputs)
    assert gone.value.field == "references"


def test_names_come_back_as_they_are_installed():
    settled = asked({"picture": PHOTO, "adapter": "other"}, {"picture": PHOTO}).settled(FakeInventory(STORYBOOK))
    assert [one.adapter for one in settled.references] == ["other", "manner"]
    assert settled.pictures == {"references.0": PHOTO, "references.1": PHOTO}


def test_a_redrawing_has_its_own_picture_beside_those_it_is_like():
    request = ImageToImage(prompt="a", image=PHOTO, references=({"picture": PHOTO},))
    assert request.pictures == {"image": PHOTO, "references.0": PHOTO}


def test_a_preset_keeps_them_without_their_pictures_and_what_is_not_here_is_told():
    values = without_pictures(TextToImage, asked({"picture": PHOTO, "adapter": "gone", "weight": 0.4}).model_dump())
    assert values["references"] == [{"adapter": "gone", "weight": 0.4}]
    local, missing = localised(values, Available({}, ip_adapters=("plus",)))
    assert local["references"] == [{"weight": 0.4}]
    assert str(missing[0]) == "The IP-Adapter 'gone' is not here."
