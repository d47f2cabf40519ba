import pytest
from PIL import Image

from presets.checks import parse
from presets.errors import InvalidField
from presets.images import ImageMissing, ImageRef
from presets.inputs import Inputs
from presets.requests import ImageToImage

PHOTO = ImageRef(sha256="ab" * 32, width=64, height=64)


def asked(*blend) -> ImageToImage:
    return parse(ImageToImage, {"prompt": "a", "image": PHOTO, "blend": blend})


@pytest.mark.parametrize(
    ("blended", "code", "words"),
    [
        ({"share": -0.1}, "E-WEIGHT", "0 to 10"),
        ({"share": 11}, "E-WEIGHT", "0 to 10"),
        ({"share": float("inf")}, "E-WEIGHT", "finite"),
        ({"share": "1"}, "E-WEIGHT", "finite"),
        ({"weight": 1}, "E-", "weight"),
    ],
)
def test_what_cannot_be_is_refused_with_its_number(blended, code, words):
    with pytest.raises(InvalidField, match=words) as refused:
        asked({"picture": PHOTO}, {"picture": PHOTO} | blended)
    assert refused.value.field == "blend" and refused.value.code.startswith(code) and "Blend 2" in str(refused.value)


def test_more_than_three_are_refused():
    with pytest.raises(InvalidField) as refused:
        asked(*({"picture": PHOTO} for _ in range(4)))
    assert (refused.value.field, refused.value.code) == ("blend", "E-BLEND")


def test_one_without_a_picture_or_whose_picture_is_gone_is_refused_before_the_run(tmp_path):
    inputs = Inputs(tmp_path)
    own = inputs.keep(Image.new("RGB", (64, 64)))
    request = asked({"share": 1}).model_copy(update={"image": own})
    with pytest.raises(InvalidField, match=r"Blend 1 has no picture: choose one, or leave it out. \[E-IMAGE\]"):
        request.examined(inputs)
    with pytest.raises(ImageMissing) as gone:
        asked({"picture": PHOTO}).model_copy(update={"image": own}).examined(inputs)
    assert gone.value.field == "blend"
