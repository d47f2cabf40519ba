"""Results that go on to another tab."""

import gradio as gr
import pytest
from PIL import Image

from pipelines.engine.jobs import Saved
from presets.drawing import LoraUse
from presets.inputs import Inputs
from presets.requests import ControlNet, ControlPicture, ImageToImage, Inpaint, TextToImage
from tabs.form import Form
from tabs.sending import sent

HOUSE = TextToImage(prompt="a red house", seed=7, steps=9, width=128, height=64, loras=(LoraUse(name="pencil"),))


@pytest.fixture
def inputs(tmp_path) -> Inputs:
    return Inputs(tmp_path / "inputs")


@pytest.fixture
def saved(tmp_path) -> Saved:
    path = tmp_path / "house.png"
    Image.new("RGB", (128, 64), "red").save(path)
    return Saved(index=0, path=path, request=HOUSE, timings={}, warnings=())


def test_a_picture_goes_on_with_the_words_and_settings_that_made_it(saved, inputs):
    values = sent(saved, Form(ImageToImage, inputs))
    assert values["image"].size == (128, 64)
    assert (values["prompt"], values["seed"], values["steps"], values["loras"]) == ("a red house", 7, 9, HOUSE.loras)


def test_what_is_drawn_from_it_is_as_large_as_it_is(saved, inputs):
    values = sent(saved, Form(ImageToImage, inputs))
    assert (values["width"], values["height"]) == (None, None)


def test_to_words_alone_goes_no_picture_but_its_size(saved, inputs):
    reference = inputs.add(saved.path)
    redrawn = saved.model_copy(update={"request": ImageToImage(image=reference, prompt="a cat", width=64, height=64)})
    values = sent(redrawn, Form(TextToImage))
    assert (values["prompt"], values["width"], values["height"]) == ("a cat", 64, 64)
    assert "image" not in values


def test_a_strength_stays_where_another_is_usual(saved, inputs):
    reference = inputs.add(saved.path)
    redrawn = saved.model_copy(update={"request": ImageToImage(image=reference, prompt="a cat", strength=0.3)})
    assert "strength" not in sent(redrawn, Form(Inpaint, inputs))


def test_a_control_picture_is_followed_as_it_is_and_another_by_its_outlines(saved, inputs):
    made = saved.model_copy(update={"request": ControlPicture(image=inputs.add(saved.path), preprocessor="invert")})
    for picture, preprocessor in ((made, "none"), (saved, "canny")):
        (unit,) = sent(picture, Form(ControlNet, inputs))["units"]
        assert (unit.preprocessor, unit.picture.size) == (preprocessor, (128, 64))


def test_a_picture_that_is_gone_is_told(saved, inputs):
    saved.path.unlink()
    with pytest.raises(gr.Error, match="There is no file"):
        sent(saved, Form(ImageToImage, inputs))
