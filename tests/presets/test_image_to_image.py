import pytest
from PIL import Image

from presets.checks import parse
from presets.errors import InvalidField
from presets.images import ImageRef
from presets.inputs import Inputs
from presets.metadata import encode_png, parameters_text
from presets.requests import ImageToImage

PHOTO = ImageRef(sha256="ab" * 32, width=641, height=479)


def resolved(image=PHOTO, native=(512, 512), grid=8, **values):
    return ImageToImage(prompt="a", image=image, **values).resolved("x", native, grid)


@pytest.mark.parametrize(
    ("size", "asked", "grid", "drawn"),
    [
        ((640, 480), {}, 8, (640, 480)),
        ((641, 479), {}, 8, (640, 480)),
        ((641, 479), {}, 16, (640, 480)),
        ((650, 470), {}, 16, (656, 464)),
        ((4000, 3000), {}, 8, (1184, 888)),
        ((8000, 500), {}, 8, (2048, 128)),
        ((30, 20), {}, 8, (96, 64)),
        ((641, 479), {"width": 320}, 8, (320, 240)),
        ((641, 479), {"height": 960}, 8, (1288, 960)),
        ((641, 479), {"width": 64, "height": 512}, 8, (64, 512)),
    ],
)
def test_sides_that_are_not_asked_for_follow_the_picture(size, asked, grid, drawn):
    picture = PHOTO.model_copy(update={"width": size[0], "height": size[1]})
    request = resolved(picture, grid=grid, **asked)
    assert (request.width, request.height) == drawn


def test_a_size_other_than_the_pictures_is_told_unless_it_was_asked_for():
    assert resolved().warnings == ("The picture is 641 × 479 pixels; it is drawn at 640 × 480.",)
    assert resolved(width=64, height=64).warnings == ()
    assert resolved(PHOTO.model_copy(update={"width": 640, "height": 480})).warnings == ()


@pytest.mark.parametrize("value", [0, -0.1, 1.01, float("nan"), float("inf"), True, "0.5", None])
def test_a_strength_that_cannot_be_is_refused(value):
    with pytest.raises(InvalidField) as refused:
        parse(ImageToImage, {"prompt": "a", "image": PHOTO, "strength": value})
    assert (refused.value.field, refused.value.code) == ("strength", "E-STRENGTH")


def test_a_strength_that_leaves_no_step_is_refused_with_the_least_that_does():
    with pytest.raises(InvalidField, match="0.04 of 20 steps leaves no step to do; it takes at least 0.05"):
        parse(ImageToImage, {"prompt": "a", "image": PHOTO, "strength": 0.04})
    assert parse(ImageToImage, {"prompt": "a", "image": PHOTO, "strength": 0.05}).strength == 0.05


@pytest.mark.parametrize(
    "picture", [None, "a.png", 7, {"path": "/etc/passwd"}, {"sha256": "../../x", "width": 64, "height": 64}]
)
def test_what_is_no_picture_is_refused(picture):
    with pytest.raises(InvalidField) as refused:
        parse(ImageToImage, {"prompt": "a", "image": picture})
    assert refused.value.field == "image"


def test_without_a_picture_the_sentence_asks_for_one():
    with pytest.raises(InvalidField, match=r"Picture is missing: choose one first. \[E-IMAGE\]"):
        parse(ImageToImage, {"prompt": "a"})


def test_what_the_file_was_is_warned_of_and_not_written_down(tmp_path):
    reference = Inputs(tmp_path).keep(Image.new("RGB", (64, 64)), ("It was odd.",))
    request = ImageToImage(prompt="a", image=reference)
    assert request.resolved("x", (64, 64)).warnings == ("It was odd.",)
    assert "odd" not in request.model_dump_json()
    assert ImageToImage.model_validate_json(request.model_dump_json()) == request


def test_the_saved_picture_names_its_input_and_strength():
    request = resolved(strength=0.35)
    assert "Denoising strength: 0.35" in parameters_text(request)
    content = encode_png(Image.new("RGB", (8, 8)), request, {})
    assert PHOTO.sha256.encode() in content
