"""Control pictures from the settled request to the saved picture."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pipelines.engine.catalog import Catalog
from pipelines.engine.conditioning import Conditioner
from pipelines.engine.context import Context
from pipelines.engine.jobs import Saved
from pipelines.engine.manager import PipelineManager
from pipelines.engine.policy import Hardware, decide
from pipelines.runners import RUNNERS
from pipelines.units import picture_of, resized_to
from presets.controlnet import ControlUnit
from presets.errors import UserError
from presets.gallery import Gallery
from presets.inputs import Inputs
from presets.metadata import read_request
from presets.requests import ControlPicture
from presets.settings import Settings
from tests.scenes import house


@pytest.fixture
def context(tmp_path):
    """A context whose events are kept in `context.send.__self__`."""
    settings = Settings(home=tmp_path, threads=1, offline=True)
    policy = decide(Hardware("cpu", "a machine", 2**34, 1), settings)
    models = PipelineManager(Catalog((), tmp_path), policy, settings)
    parts = (models, policy, Conditioner(), Gallery(tmp_path / "pictures"), Inputs(tmp_path / "inputs"))
    return Context(*parts, [].append, lambda: False)


def made(context, image, **values):
    """The one picture that is saved, and its event."""
    request = ControlPicture(image=context.inputs.keep(image), **values)
    RUNNERS[ControlPicture](request, context)
    (saved,) = [event for event in context.send.__self__ if isinstance(event, Saved)]
    context.send.__self__.clear()
    with Image.open(saved.path) as opened:
        return np.asarray(opened.convert("RGB")), saved


def test_the_control_picture_is_saved_with_its_request_inside(context):
    pixels, saved = made(context, house(), preprocessor="threshold", threshold=90, resolution=64)
    assert pixels.shape == (64, 64, 3) and set(np.unique(pixels)) == {0, 255}
    assert read_request(saved.path).request == saved.request
    assert saved.timings["preprocess"] >= 0


def test_the_request_inside_makes_the_same_pixels_again(context):
    first, saved = made(context, house(), preprocessor="shuffle", shuffle_seed=3)
    again, _ = made(context, house(), **read_request(saved.path).request.model_dump(exclude={"image", "kind"}))
    assert np.array_equal(first, again)


def test_a_job_begun_once_more_makes_no_picture_again(context):
    request = ControlPicture(image=context.inputs.keep(house()))
    RUNNERS[ControlPicture](request, replace(context, first=1))
    assert not context.send.__self__


def test_what_is_transparent_is_seen_on_white(context):
    clear = house().convert("RGBA")
    clear.putalpha(0)
    assert made(context, clear, preprocessor="none")[0].min() == 255
    assert made(context, clear, preprocessor="invert")[0].max() == 0


@pytest.mark.parametrize("size", [(16, 16), (16, 320), (131, 77)])
def test_odd_sizes_are_kept(context, size):
    assert made(context, house().resize(size), preprocessor="canny")[0].shape == (size[1], size[0], 3)


@pytest.mark.parametrize("content", [None, b"<html>"])
def test_what_a_preprocessor_lacks_is_told_of_the_units_where_one_asks_for_it(context, tmp_path, content):
    folder = tmp_path / "models" / "annotators"
    folder.mkdir(parents=True)
    if content:
        (folder / "5_model.pth").write_bytes(content)
    unit = ControlUnit(picture=context.inputs.keep(house()), preprocessor="softedge-teed")
    with pytest.raises(UserError) as caught:
        picture_of(unit, context, resized_to((64, 64)))
    assert caught.value.code == ("E-MODEL-CORRUPT" if content else "E-PREPROCESSOR-MISSING")
    assert caught.value.field == "units"
