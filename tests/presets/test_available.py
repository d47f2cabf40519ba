import pytest

from presets.available import Available, Missing, localised

DIGITS = "879db523c3" + "0" * 54
HERE = Available({"Storybook": "", "photos/real": DIGITS, "ink": ""}, ("styles/ink", "wool"), ("sharp",))


@pytest.mark.parametrize(
    ("name", "digits", "found"),
    [
        ("storybook", "", "Storybook"),
        ("D:\\models\\Real.safetensors", "", "photos/real"),
        ("anything", "879db523", "photos/real"),
        ("anything", "0x" + DIGITS.upper(), "photos/real"),
        ("ink.ckpt", "ffffffffff", "ink"),
    ],
)
def test_a_checkpoint_is_found_by_its_hash_or_else_by_its_name(name, digits, found):
    assert HERE.checkpoint(name, digits) == found


@pytest.mark.parametrize("digits", ["", "879db52", "ffffffffff"])
def test_a_hash_that_is_too_short_or_another_finds_nothing(digits):
    assert isinstance(HERE.checkpoint("anything", digits), Missing)


def test_a_model_of_the_hub_is_not_missing_where_it_may_be_meant():
    assert HERE.checkpoint("owner/name", of_hub=True) == "owner/name"
    assert isinstance(HERE.checkpoint("owner/name"), Missing)
    assert isinstance(HERE.checkpoint("../name", of_hub=True), Missing)


def test_a_lora_is_found_under_another_name_by_the_hash_that_its_trainer_noted():
    here = Available({}, ("styles/ink", "wool"), lora_hashes={"wool": ("0123456789ab" + "0" * 52, "ff" * 32)})
    assert here.lora("renamed", "0123456789ab") == here.lora("ink", "0x" + "FF" * 32) == "wool"
    assert here.lora("ink", "ba9876543210") == "styles/ink"
    copies = Available({}, ("other", "wool"), lora_hashes=dict.fromkeys(("other", "wool"), ("01" * 32,)))
    assert (copies.lora("Wool", "01" * 6), copies.lora("renamed", "01" * 6)) == ("wool", "other")
    assert isinstance(here.lora("renamed", "0123"), Missing)


def test_loras_of_list_and_prompt_get_their_names_here_and_missing_ones_are_taken_out():
    values = {
        "prompt": "a <lora:Ink:0.5> house <lora:gone:1:0.5> by the sea",
        "loras": [{"name": "wool"}, {"name": "gone", "strength": 2}],
    }
    found, missing = localised(values, HERE, lora_hashes={"gone": "0123456789ab"})
    assert found == {"prompt": "a <lora:styles/ink:0.5> house by the sea", "loras": [{"name": "wool"}]}
    assert [(lora.name, lora.hash) for lora in missing] == [("gone", "0123456789ab")]


@pytest.mark.parametrize("value", [7, None, [], {"name": 7}, [7, {}, {"name": []}], "(a:1e9)<lora:x:1>"])
def test_values_of_the_wrong_shape_stay_as_they_are(value):
    values = {"prompt": value, "loras": value, "checkpoint": [value], "vae": {"a": value}}
    found, missing = localised(values, HERE)
    assert (found, missing) == (values, ())
