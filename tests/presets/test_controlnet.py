"""What a ControlNet request takes, refuses and tells."""

import pytest
from PIL import Image

from presets import control_text, infotext
from presets.checks import parse
from presets.controlnet import ControlUnit
from presets.errors import InvalidField
from presets.images import ImageRef
from presets.inputs import Inputs
from presets.metadata import ENCODERS, read_request
from presets.partial import accepted
from presets.requests import ControlNet

OUTLINE = ImageRef(sha256="ab" * 32, width=640, height=480)


def request(*units, **values):
    return parse(
        ControlNet, {"prompt": "a", "units": [{"picture": OUTLINE} | unit for unit in units or ({},)]} | values
    )


REFUSED = [
    ({"weight": 3}, "E-WEIGHT", "Control unit 1: Weight cannot be 3.0: input should be less than or equal to 2."),
    ({"weight": float("nan")}, "E-WEIGHT", "must be a finite number"),
    ({"start": 0.6, "end": 0.5}, "E-CONTROL", "Control unit 1: It starts at 0.6 and ends at 0.5"),
    ({"start": 1.0}, "E-CONTROL", "the start must be before the end"),
    ({"mode": "strong"}, "E-CONTROL", "Allowed: balanced, prompt, control."),
    ({"preprocessor": "cany"}, "E-PREPROCESSOR", "Did you mean 'canny'?"),
    ({"preprocessor": "canny", "low_threshold": 200}, "E-PREPROCESSOR", "the low one must be the smaller"),
    ({"pixel_perfect": "yes"}, "E-API-ARGS", "Control unit 1: Pixel perfect cannot be 'yes'"),
    ({"control": "\ud800"}, "E-TEXT-ENCODING", "no Unicode text"),
    ({"strength": 1}, "E-API-ARGS", "Control unit 1: There is no parameter 'strength'."),
    ({"picture": "outline.png"}, "E-API-ARGS", "Control unit 1: Control picture must be the file of a picture"),
]


@pytest.mark.parametrize(("values", "code", "words"), REFUSED)
def test_what_a_unit_cannot_be_is_refused_and_the_unit_named(values, code, words):
    with pytest.raises(InvalidField) as refused:
        request(values)
    assert (refused.value.code, refused.value.field) == (code, "units")
    assert words in refused.value.message


@pytest.mark.parametrize(
    ("units", "code", "words"),
    [
        ([], "E-IMAGE", "A control unit is missing: give at least one, with its picture."),
        ([{}] * 4, "E-CONTROL", "There can be 1 to 3 control units"),
        ("canny", "E-CONTROL", "There can be 1 to 3 control units"),
        (["canny"], "E-API-ARGS", "Control unit 1: must be its fields by name, but is 'canny'."),
    ],
)
def test_a_list_that_is_no_list_of_units_is_refused(units, code, words):
    with pytest.raises(InvalidField) as refused:
        parse(ControlNet, {"prompt": "a", "units": units})
    assert (refused.value.code, refused.value.field) == (code, "units")
    assert words in refused.value.message


def test_a_control_picture_that_would_be_too_large_is_refused():
    long = {"picture": ImageRef(sha256="ab" * 32, width=400, height=8000), "resolution": 2048}
    with pytest.raises(
        InvalidField, match="Control unit 2: The control picture would be 2048 × 40960 pixels"
    ) as refused:
        request({}, {**long, "pixel_perfect": False})
    assert (refused.value.code, refused.value.field) == ("E-SIZE", "units")
    with pytest.raises(InvalidField, match="Depth .* makes up to 4.2 Mpx"):
        request({"preprocessor": "depth", "pixel_perfect": False, "resolution": 2048})
    request({"preprocessor": "canny", "pixel_perfect": False, "resolution": 2048}, long)


def test_the_second_unit_is_called_the_second():
    with pytest.raises(InvalidField, match="Control unit 2: Weight cannot be -1.0"):
        request({}, {"weight": -1})


def test_a_unit_needs_its_picture_once_it_is_to_be_drawn(tmp_path):
    inputs = Inputs(tmp_path)
    with pytest.raises(InvalidField, match=r"Control unit 2 has no picture: choose one.* \[E-IMAGE\]"):
        with_picture = {"picture": inputs.keep(Image.new("RGB", (64, 64)))}
        request(with_picture, {"picture": None}).examined(inputs)
    with pytest.raises(InvalidField, match="E-IMAGE-MISSING"):
        request({}).examined(inputs)


def test_it_is_drawn_in_the_native_area_and_the_shape_of_the_first_control_picture():
    assert request().resolved("x", (512, 512)).canvas == (592, 440)
    assert request(width=256).resolved("x", (512, 512)).canvas == (256, 192)
    assert request(width=256, height=256).resolved("x", (512, 512)).canvas == (256, 256)


def test_a_preset_may_leave_out_the_pictures():
    kept, problems = accepted(ControlNet, {"units": [{"control": "outline", "weight": 0.5}]})
    assert (kept["units"], problems) == ([{"control": "outline", "weight": 0.5}], [])


UNIT = {
    "preprocessor": "canny",
    "low_threshold": 50,
    "control": "outline",
    "weight": 0.8,
    "end": 0.7,
    "mode": "control",
}


@pytest.mark.parametrize("ending", [".png", ".webp", ".jpg"])
def test_units_survive_in_the_pictures_metadata(tmp_path, ending):
    asked = request(UNIT, {"resize_mode": "fill", "pixel_perfect": False, "resolution": 512})
    (tmp_path / f"a{ending}").write_bytes(ENCODERS[ending](Image.new("RGB", (64, 64)), asked, {}))
    assert read_request(tmp_path / f"a{ending}").request == asked


def test_the_text_of_a_unit_is_the_extensions():
    (line,) = [line for line in infotext.parameters_text(request(UNIT)).split("\n") if line.startswith("Steps")]
    assert (
        'ControlNet 0: "Module: canny, Model: outline, Weight: 0.8, Resize Mode: Crop and Resize, Threshold A: 50.0, '
        "Threshold B: 200.0, Guidance Start: 0.0, Guidance End: 0.7, Pixel Perfect: True, "
        'Control Mode: ControlNet is more important"'
    ) in line


@pytest.mark.parametrize(
    "unit",
    [
        UNIT,
        {"preprocessor": "openpose-full", "control": "pose", "start": 0.1, "resize_mode": "fill"},
        {"preprocessor": "depth", "mode": "prompt", "pixel_perfect": False, "resolution": 768},
        {"preprocessor": "none", "weight": 1.35, "resize_mode": "stretch"},
    ],
)
def test_what_the_text_says_of_units_is_read_back(unit):
    text = infotext.parameters_text(request(unit))
    pairs = {key.lower(): value for key, value in infotext.parse(text).pairs.items()}
    (found,) = control_text.units_of(pairs)
    assert ControlUnit(**found) == ControlUnit(**unit)


def test_the_extensions_own_text_is_read():
    value = (
        "Module: depth_midas, Model: control_v11f1p_sd15_depth [cfd03158], Weight: 0.9, Resize Mode: Crop and Resize, "
        "Processor Res: -1, Threshold A: 0.5, Threshold B: 0.5, Guidance Start: 0.0, Guidance End: 1.0, "
        "Pixel Perfect: True, Control Mode: My prompt is more important"
    )
    (unit,) = control_text.units_of({"controlnet 0": value})
    assert (unit["preprocessor"], unit["control"], unit["mode"]) == (
        "depth-midas",
        "control_v11f1p_sd15_depth",
        "prompt",
    )


@pytest.mark.parametrize("value", ["", ",,,", "Module", "Weight: x, Module: \x00", "Model: , Weight: 1e999"])
def test_nonsense_in_its_place_does_no_harm(value):
    assert len(control_text.units_of({"controlnet 0": value, "controlnet 99": value})) == 1
