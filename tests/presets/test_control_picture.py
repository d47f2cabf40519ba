import re

import pytest

from presets.checks import parse
from presets.errors import InvalidField, UserError
from presets.gallery import Gallery
from presets.images import ImageRef
from presets.metadata import read_request
from presets.preprocessors import PARAMETERS
from presets.requests import ControlNet, ControlPicture
from tests.fake_engine import STORYBOOK, FakeInventory
from tests.scenes import house

PHOTO = ImageRef(sha256="ab" * 32, width=640, height=400)


def asked(**values):
    return parse(ControlPicture, {"image": PHOTO, **values})


def test_by_default_it_is_canny_in_the_pictures_own_size():
    assert (asked().preprocessor, asked().picture_size) == ("canny", (640, 400))
    assert asked(resolution=200).picture_size == (320, 200)


@pytest.mark.parametrize(
    ("size", "values"),
    [
        ((8192, 410), {"resolution": 2048}),
        ((6000, 2700), {"preprocessor": "openpose"}),
        ((1000, 600), {"preprocessor": "depth", "resolution": 2048}),
        ((6000, 2700), {"resolution": 2048, "preprocessor": "mlsd"}),
    ],
)
def test_more_pixels_than_a_preprocessor_takes_are_refused(size, values):
    with pytest.raises(InvalidField, match="Choose a smaller resolution") as caught:
        asked(image=ImageRef(sha256="ab" * 32, width=size[0], height=size[1]), **values)
    assert (caught.value.field, caught.value.code) == ("resolution", "E-SIZE")


def test_a_filter_takes_as_large_a_picture_as_may_be_given():
    assert asked(image=ImageRef(sha256="ab" * 32, width=4096, height=4096)).picture_size == (4096, 4096)


def test_a_picture_is_needed():
    with pytest.raises(InvalidField, match="Picture is missing: choose one first"):
        parse(ControlPicture, {"preprocessor": "canny"})


def test_what_is_missing_is_told_before_anything_is_queued():
    assert asked().settled(FakeInventory(None)) == asked()
    with pytest.raises(UserError) as caught:
        asked(preprocessor="mlsd").settled(FakeInventory(None))
    assert (caught.value.code, caught.value.field) == ("E-PREPROCESSOR-MISSING", "preprocessor")


def test_parameters_of_other_preprocessors_have_no_effect():
    assert asked(preprocessor="blur").without_effect == set(PARAMETERS) - {"blur_radius"}


def test_a_saved_control_picture_carries_its_request_and_is_found_by_its_name(tmp_path):
    gallery = Gallery(tmp_path)
    path = gallery.add(house(), asked(preprocessor="recolor-luminance", gamma=0.5), {})
    assert read_request(path).request == asked(preprocessor="recolor-luminance", gamma=0.5)
    assert re.fullmatch("000001-control-picture-[a-z2-7]{16}.png", path.name)
    assert [len(gallery.search(words)) for words in ("luminance", "control recolour", "canny")] == [1, 1, 0]


def test_what_a_control_unit_lacks_is_told_before_anything_is_queued():
    units = ({"picture": PHOTO, "preprocessor": "openpose"},)
    with pytest.raises(UserError) as caught:
        ControlNet(prompt="a dancer", units=units).settled(FakeInventory(STORYBOOK))
    assert (caught.value.code, caught.value.field) == ("E-PREPROCESSOR-MISSING", "units")
