"""Whatever runs before and beside it, a request gives the pictures that it gives alone."""

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

from presets.drawing import LoraUse
from presets.requests import ImageToImage, TextToImage
from presets.upscale import Upscale
from tests.pixels import drawn

SMALL = {"prompt": "a red house", "seed": 7, "steps": 2, "width": 64, "height": 64}


@pytest.fixture(scope="module")
def choices(real_engine):
    """Requests, each with the pictures that it makes alone."""
    given = real_engine.inputs.keep(Image.effect_noise((64, 64), 80).convert("RGB"))
    plain = TextToImage(**SMALL)
    requests = [
        plain,
        plain.model_copy(update={"count": 2, "prompt": "a (blue:1.3) boat"}),
        plain.model_copy(update={"checkpoint": "storybook-neon", "sampler": "Euler a"}),
        plain.model_copy(update={"loras": (LoraUse(name="pixel-art", strength=0.8),)}),
        plain.model_copy(update={"loras": (LoraUse(name="pencil"), LoraUse(name="pixel-art", strength=0.3))}),
        plain.model_copy(update={"hires_factor": 1.5}),
        ImageToImage(**SMALL, image=given, strength=0.5),
        Upscale(image=given, factor=2),
    ]
    return [(request, drawn(real_engine, request)) for request in requests]


@settings(max_examples=8, deadline=None, derandomize=True, database=None, phases=[Phase.generate])
@given(jobs=st.lists(st.tuples(st.sampled_from(("me", "you")), st.integers(0, 7)), min_size=2, max_size=5))
def test_any_order_of_the_jobs_of_two_people_gives_each_the_pictures_of_running_alone(real_engine, choices, jobs):
    sent = [(real_engine.submit(choices[number][0], owner=owner), choices[number][1]) for owner, number in jobs]
    for job, expected in sent:
        pictures = [np.asarray(Image.open(saved.path).convert("RGB")) for saved in job.result()]
        assert np.array_equal(np.stack(pictures), expected)
