from typing import get_args

import pytest

from presets.checks import parse
from presets.errors import InvalidField
from presets.preprocess_fields import Name
from presets.preprocessors import PARAMETERS, PREPROCESSORS, PreprocessSettings


def test_the_table_has_every_name_in_order_none_first():
    assert tuple(PREPROCESSORS) == get_args(Name)
    assert next(iter(PREPROCESSORS)) == "none"


def test_every_parameter_belongs_to_a_preprocessor_and_every_row_explains_itself():
    assert {name for row in PREPROCESSORS.values() for name in row.parameters} == set(PARAMETERS)
    assert all(row.title and row.help.endswith(".") for row in PREPROCESSORS.values())
    assert len({row.title for row in PREPROCESSORS.values()}) == len(PREPROCESSORS)


def test_settings_tell_only_the_parameters_that_matter():
    settings = PreprocessSettings(preprocessor="canny", low_threshold=20, gamma=0.5)
    assert settings.parameters == {"low_threshold": 20, "high_threshold": 200}
    assert PreprocessSettings().parameters == {}


@pytest.mark.parametrize(
    ("resolution", "given", "size"),
    [
        (None, (130, 77), (130, 77)),
        (512, (1000, 500), (1024, 512)),
        (64, (1280, 64), (1280, 64)),
        (100, (30, 40), (100, 133)),
    ],
)
def test_the_resolution_is_that_of_the_shorter_side(resolution, given, size):
    assert PreprocessSettings(resolution=resolution).size_for(given) == size


@pytest.mark.parametrize(
    ("values", "field", "code"),
    [
        ({"preprocessor": "cany"}, "preprocessor", "E-PREPROCESSOR"),
        ({"preprocessor": "../canny"}, "preprocessor", "E-PREPROCESSOR"),
        ({"preprocessor": None}, "preprocessor", "E-PREPROCESSOR"),
        ({"preprocessor": "canny", "low_threshold": 200}, "low_threshold", "E-PREPROCESSOR"),
        ({"preprocessor": "canny", "low_threshold": 90, "high_threshold": 80}, "low_threshold", "E-PREPROCESSOR"),
        ({"low_threshold": 0}, "low_threshold", "E-PREPROCESSOR"),
        ({"high_threshold": 256}, "high_threshold", "E-PREPROCESSOR"),
        ({"threshold": 12.5}, "threshold", "E-PREPROCESSOR"),
        ({"blur_radius": float("nan")}, "blur_radius", "E-PREPROCESSOR"),
        ({"blur_radius": float("inf")}, "blur_radius", "E-PREPROCESSOR"),
        ({"gamma": 0}, "gamma", "E-PREPROCESSOR"),
        ({"gamma": True}, "gamma", "E-PREPROCESSOR"),
        ({"shuffle_seed": -1}, "shuffle_seed", "E-SEED"),
        ({"shuffle_seed": 2**53}, "shuffle_seed", "E-SEED"),
        ({"resolution": 63}, "resolution", "E-SIZE"),
        ({"resolution": "big"}, "resolution", "E-SIZE"),
        ({"sharpness": 1}, "sharpness", "E-API-ARGS"),
    ],
)
def test_a_wrong_value_is_refused_by_its_field_and_code(values, field, code):
    with pytest.raises(InvalidField) as caught:
        parse(PreprocessSettings, values)
    assert (caught.value.field, caught.value.code) == (field, code)


def test_an_unknown_preprocessor_is_told_the_nearest():
    with pytest.raises(InvalidField, match="Did you mean 'canny'"):
        parse(PreprocessSettings, {"preprocessor": "cany"})


def test_thresholds_of_canny_do_not_matter_to_others():
    assert PreprocessSettings(preprocessor="blur", low_threshold=200, high_threshold=100).parameters == {
        "blur_radius": 9
    }
