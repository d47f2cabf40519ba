"""Control units in a form: what is read of their widgets, and how a request is shown in them."""

from pathlib import Path

import gradio as gr
import pytest
from PIL import Image

from pipelines.engine.jobs import ControlInfo
from presets.controlnet import ControlUnit
from presets.errors import InvalidField
from presets.requests import ControlNet, ImageToImage
from tabs import control_units, part_forms
from tabs.form import Form
from tabs.own_presets import to_keep
from tests.fake_engine import FakeEngine


class Page:
    """A form with control units, and the values of its widgets as a page sends them."""

    def __init__(self, folder: Path, kind: type = ControlNet):
        self.engine = FakeEngine(folder)
        self.form = Form(kind, self.engine.inputs)
        with gr.Blocks():
            if kind is ControlNet:
                control_units.build(self.engine, self.form)
            else:
                self.form.widget("image")
                control_units.build_beside(self.engine, self.form)
            self.form.widget("prompt")
        self.inputs = self.form.inputs
        self.values = [
            "a house" if str(widget.elem_id).endswith("-prompt") else begins(widget) for widget in self.inputs
        ]

    def put(self, element_id: str, value):
        self.values[self.place(element_id)] = value

    def place(self, element_id: str) -> int:
        return [widget.elem_id for widget in self.inputs].index(element_id)


def begins(widget):
    return getattr(widget, "value", None)


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Page:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    return Page(tmp_path / "pictures")


@pytest.fixture
def outline(tmp_path: Path) -> dict[str, str]:
    Image.new("RGB", (96, 64), "white").save(tmp_path / "outline.png")
    return {"path": str(tmp_path / "outline.png")}


def test_a_unit_with_a_picture_is_read_and_the_empty_ones_are_left_out(page, outline):
    page.put("controlnet-unit-1-picture", outline)
    page.put("controlnet-unit-1-weight", 0.5)
    page.put("controlnet-unit-2-weight", 1.5)
    (unit,) = page.form.request(page.values).units
    assert (unit.picture.size, unit.weight, unit.pixel_perfect) == ((96, 64), 0.5, True)


def test_the_third_unit_alone_is_the_request_s_first(page, outline):
    page.put("controlnet-unit-3-picture", outline)
    page.put("controlnet-unit-3-preprocessor", "canny")
    assert [unit.preprocessor for unit in page.form.request(page.values).units] == ["canny"]


def test_without_any_picture_the_form_says_what_is_missing(page):
    with pytest.raises(InvalidField, match="A control unit is missing"):
        page.form.request(page.values)
    assert any(not verdict["is_valid"] for verdict in page.form.check(*page.values))


def test_a_request_is_shown_as_it_was_given(page, outline):
    page.put("controlnet-unit-2-picture", outline)
    page.put("controlnet-unit-2-control", "outline")
    page.put("controlnet-unit-2-end", 0.7)
    request = page.form.request(page.values)
    shown = page.form.values(request)
    assert shown[page.place("controlnet-unit-1-picture")].size == (96, 64)
    assert shown[page.place("controlnet-unit-1-end")] == 0.7
    assert shown[page.place("controlnet-unit-2-picture")] is None


def test_a_preset_changes_the_settings_and_leaves_the_picture(page):
    changes = page.form.merged({"units": [{"control": "outline", "weight": 0.3}]})
    assert changes[page.place("controlnet-unit-1-weight")] == 0.3
    assert is_skipped(changes[page.place("controlnet-unit-1-picture")])
    assert is_skipped(changes[page.place("controlnet-prompt")])


def is_skipped(change) -> bool:
    return isinstance(change, dict) and change.get("__type__") == "update" and len(change) == 1


def test_a_preset_of_the_form_keeps_units_without_their_pictures(page, outline):
    page.put("controlnet-unit-1-picture", outline)
    page.put("controlnet-unit-1-weight", 0.5)
    (unit,) = to_keep(page.form, ["Prompts"], page.values)["units"]
    assert "picture" not in unit
    assert unit["weight"] == 0.5


def test_files_that_cannot_be_used_are_told_and_not_offered(page):
    page.engine.followers = (ControlInfo(name="a"), ControlInfo(name="b", problem="<b> cannot be used."))
    *boxes, problems = control_units.look_again(page.engine)
    assert {tuple(box["choices"]) for box in boxes} == {("", "a")}
    assert problems == "<p><bdi>&lt;b&gt; cannot be used.</bdi></p>"


def test_a_unit_in_words_names_what_is_unusual():
    assert str(ControlUnit(control="outline")) == "outline 1"
    assert (
        str(ControlUnit(preprocessor="canny", end=0.5, mode="control"))
        == "the first that fits 1 canny 0% to 50% (control)"
    )


@pytest.fixture
def redrawing(tmp_path: Path, outline, monkeypatch: pytest.MonkeyPatch) -> Page:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    page = Page(tmp_path / "pictures", ImageToImage)
    page.put("image-to-image-image", outline)
    return page


def test_beside_a_given_picture_no_unit_is_needed(redrawing):
    assert redrawing.form.request(redrawing.values).units == ()


def test_beside_a_given_picture_a_unit_can_follow_that_or_one_of_its_own(redrawing, outline):
    redrawing.put("image-to-image-unit-1-given", True)
    redrawing.put("image-to-image-unit-1-preprocessor", "canny")
    (unit,) = redrawing.form.request(redrawing.values).units
    assert (unit.picture, unit.preprocessor) == (None, "canny")
    redrawing.put("image-to-image-unit-1-picture", outline)
    (unit,) = redrawing.form.request(redrawing.values).units
    assert unit.picture and unit.picture.size == (96, 64)


def test_a_unit_that_follows_the_given_picture_is_shown_as_such(redrawing, outline):
    places = [redrawing.place(f"image-to-image-unit-1-{name}") for name in ("given", "picture")]
    redrawing.put("image-to-image-unit-1-given", True)
    shown = redrawing.form.values(redrawing.form.request(redrawing.values))
    assert [shown[place] for place in places] == [True, None]
    redrawing.put("image-to-image-unit-1-picture", outline)
    shown = redrawing.form.values(redrawing.form.request(redrawing.values))
    assert (shown[places[0]], shown[places[1]].size) == (False, (96, 64))


def test_units_that_there_is_no_place_for_are_told_and_kept(redrawing):
    image = redrawing.form.request(redrawing.values).image
    units = [{"control": name, "preprocessor": "canny"} for name in ("outline", "depth", "<b>")]
    request = ImageToImage.model_validate({"prompt": "a house", "image": image, "units": units})
    shown = redrawing.form.values(request)
    others = redrawing.place("image-to-image-other-units")
    assert "depth 1 canny" in shown[others] and "<b>" not in shown[others]
    redrawing.values[others - 1] = shown[others - 1]
    redrawing.put("image-to-image-unit-1-given", True)
    assert [unit.control for unit in redrawing.form.request(redrawing.values).units] == ["", "depth", "<b>"]
    redrawing.values[others - 1] = part_forms.shown_others([])[0]
    assert len(redrawing.form.request(redrawing.values).units) == 1
