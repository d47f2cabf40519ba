"""Text to image from the resolved request to the saved pictures."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pipelines.engine import policy
from pipelines.engine.catalog import STARTER, Catalog
from pipelines.engine.conditioning import Conditioner
from pipelines.engine.context import Context
from pipelines.engine.errors import Cancelled
from pipelines.engine.jobs import Progress, Saved
from pipelines.engine.manager import PipelineManager
from pipelines.runners import RUNNERS
from presets.gallery import Gallery
from presets.inputs import Inputs
from presets.metadata import read_request
from presets.requests import TextToImage


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    from presets.settings import Settings

    settings = Settings(home=tmp_path_factory.mktemp("home"), device="cpu", threads=1)
    decided = policy.decide(policy.detect(settings), settings)
    return PipelineManager(Catalog((), STARTER), decided, settings), decided


@pytest.fixture
def context(models, tmp_path):
    """A context whose events are kept in `context.send.__self__`."""
    events = []
    return Context(*models, Conditioner(), Gallery(tmp_path), Inputs(tmp_path), events.append, lambda: False)


def draw(context, **values):
    """The events of a job."""
    request = TextToImage(**{"prompt": "a red house", "steps": 2, "seed": 5} | values)
    context.send.__self__.clear()
    RUNNERS[TextToImage](request.resolved("", (128, 128)), context)
    return list(context.send.__self__)


def saved(events):
    return [event for event in events if isinstance(event, Saved)]


def pixels(event):
    with Image.open(event.path) as image:
        return np.array(image)


def test_a_request_becomes_a_saved_picture_of_its_size(context):
    (event,) = saved(draw(context, width=64, height=128))
    assert pixels(event).shape == (128, 64, 3)
    assert set(event.timings) == {"queue", "load", "adapters", "encode", "denoise", "decode"}


def test_what_a_picture_cost_stands_in_its_file_and_only_the_first_waited(context):
    first, second = saved(draw(replace(context, waited=1.5), count=2))
    assert first.timings["queue"] == 1.5 and first.timings["load"] > second.timings["load"] == 0
    for event in (first, second):
        record = read_request(event.path).record
        assert (record["timings"], record["peak_memory"]) == (event.timings, event.peak_memory)
    if sys.platform == "linux":
        assert min(first.peak_memory, second.peak_memory) > 2**26


def test_each_picture_of_many_is_the_one_its_own_request_makes(context):
    first, second = saved(draw(context, count=2))
    assert (first.request.seed, second.request.seed) == (5, 6)
    (alone,) = saved(draw(context, seed=6))
    assert np.array_equal(pixels(alone), pixels(second))
    assert not np.array_equal(pixels(first), pixels(second))


def test_progress_names_the_picture(context):
    steps = [(e.picture, e.pictures, e.step) for e in draw(context, count=2) if isinstance(e, Progress)]
    assert steps == [(1, 2, 1), (1, 2, 2), (2, 2, 1), (2, 2, 2)]


def test_an_empty_prompt_draws(context):
    assert len(saved(draw(context, prompt=""))) == 1


def test_a_cancelled_job_keeps_the_pictures_it_has(models, tmp_path):
    events = []
    context = Context(
        *models, Conditioner(), Gallery(tmp_path), Inputs(tmp_path), events.append, lambda: bool(saved(events))
    )
    with pytest.raises(Cancelled):
        RUNNERS[TextToImage](TextToImage(prompt="a", steps=2, seed=1, count=3).resolved("", (64, 64)), context)
    assert len(saved(events)) == 1
