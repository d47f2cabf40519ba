"""Loopback: rounds are what redrawing by hand again and again gives; steps counted through; a stop in any of them."""

from dataclasses import replace

import pytest
from PIL import Image

from pipelines.engine import policy
from pipelines.engine.catalog import EXTRAS, STARTER, Catalog
from pipelines.engine.conditioning import Conditioner
from pipelines.engine.context import Context
from pipelines.engine.errors import Cancelled
from pipelines.engine.jobs import Progress, Saved
from pipelines.engine.manager import PipelineManager
from pipelines.runners import RUNNERS
from presets.gallery import Gallery
from presets.inputs import Inputs
from presets.requests import ImageToImage
from presets.settings import Settings
from tests.pixels import pixels


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    settings = Settings(home=tmp_path_factory.mktemp("home"), device="cpu", threads=1)
    decided = policy.decide(policy.detect(settings), settings)
    return PipelineManager(Catalog((EXTRAS,), STARTER), decided, settings), decided


@pytest.fixture
def context(models, tmp_path):
    events = []
    return Context(*models, Conditioner(), Gallery(tmp_path), Inputs(tmp_path), events.append, lambda: False)


def asked(context, image=None, **values):
    given = context.inputs.keep(image or Image.radial_gradient("L").convert("RGB").resize((128, 64)))
    usual = {"prompt": "a red house", "steps": 5, "seed": 7, "strength": 0.6, "image": given}
    return ImageToImage(**usual | values).resolved("", (128, 128))


def events_of(context, request):
    events = context.send.__self__
    events.clear()
    RUNNERS[ImageToImage](request, context)
    return list(events)


def saved_by(context, request):
    return [event for event in events_of(context, request) if isinstance(event, Saved)]


@pytest.mark.parametrize("curve", ["linear", "lazy"])
def test_rounds_are_what_redrawing_each_result_by_hand_gives(context, curve):
    request = asked(context, rounds=3, final_strength=0.8, strength_curve=curve)
    (last,) = saved_by(context, request)
    image = None
    for number, strength in enumerate(request.strengths):
        (saved,) = saved_by(context, asked(context, image, seed=7 + number, strength=strength))
        image = Image.open(saved.path)
    assert (pixels([last.path]) == pixels([saved.path])).all()


def test_each_of_several_pictures_begins_with_the_picture_given(context):
    both = saved_by(context, asked(context, rounds=2, count=2))
    (second,) = saved_by(context, both[1].request)
    assert (pixels([both[1].path]) == pixels([second.path])).all()
    assert both[1].request == asked(context, rounds=2, seed=8)


def test_the_steps_of_all_rounds_are_counted_through(context):
    events = events_of(context, asked(context, rounds=3, final_strength=0.2))
    told = [event for event in events if isinstance(event, Progress)]
    assert [(event.step, event.steps) for event in told] == [(step, 6) for step in range(1, 7)]
    assert [event.seconds for event in told] == sorted(event.seconds for event in told)
    assert told[-1].remaining == 0


def test_a_stop_in_a_later_round_is_within_its_step_and_leaves_the_models_sound(context):
    request, steps = asked(context, rounds=3), []
    (expected,) = saved_by(context, request)

    def stop(event):
        if isinstance(event, Progress):
            steps.append(event.step)
            if event.step == 5:
                raise Cancelled

    with pytest.raises(Cancelled):
        RUNNERS[ImageToImage](request, replace(context, send=stop))
    assert steps == [1, 2, 3, 4, 5]
    (again,) = saved_by(context, request)
    assert (pixels([again.path]) == pixels([expected.path])).all()
