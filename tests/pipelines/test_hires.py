"""The hires fix: drawn small, made larger, drawn on; steps counted through; the first part as without it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.engine import policy
from pipelines.engine.catalog import EXTRAS, STARTER, Catalog
from pipelines.engine.conditioning import Conditioner
from pipelines.engine.context import Context
from pipelines.engine.errors import BrokenPicture
from pipelines.engine.jobs import Progress, Saved
from pipelines.engine.manager import PipelineManager
from pipelines.runners import RUNNERS
from presets.errors import UserError
from presets.gallery import Gallery
from presets.inputs import Inputs
from presets.metadata import read_request
from presets.requests import TextToImage
from presets.settings import Settings
from tests.checkpoints import save_single_file, tiny_sd1
from tests.upscalers import save_upscaler, tiny_compact


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    settings = Settings(home=tmp_path_factory.mktemp("home"), device="cpu", threads=1)
    decided = policy.decide(policy.detect(settings), settings)
    return PipelineManager(Catalog((EXTRAS,), STARTER), decided, settings), decided


@pytest.fixture
def context(models, tmp_path):
    events = []
    return Context(*models, Conditioner(), Gallery(tmp_path), Inputs(tmp_path), events.append, lambda: False)


def drawn(context, **values):
    """The pixels, and the steps that were told."""
    request = TextToImage(
        **{"prompt": "a red house by the sea", "steps": 6, "seed": 7, "width": 64, "height": 64} | values
    )
    request = request.resolved(request.checkpoint, (128, 128))
    events = context.send.__self__
    events.clear()
    RUNNERS[TextToImage](request, context)
    (saved,) = [event for event in events if isinstance(event, Saved)]
    assert read_request(saved.path).request == request
    with Image.open(saved.path) as image:
        return np.asarray(image).astype(int), [(e.step, e.steps) for e in events if isinstance(e, Progress)]


@pytest.mark.parametrize("upscaler", ["latent", "storybook-x2", "lanczos"])
def test_the_picture_is_larger_and_all_steps_are_counted_through(context, upscaler):
    pixels, steps = drawn(context, hires_factor=2, hires_upscaler=upscaler, hires_strength=0.5, hires_steps=4)
    assert pixels.shape == (128, 128, 3)
    assert steps == [(step, 8) for step in range(1, 9)]


def test_with_little_strength_it_is_the_first_drawing_made_larger(context):
    small, _ = drawn(context)
    large, _ = drawn(context, hires_factor=2, hires_upscaler="lanczos", hires_strength=0.1, hires_steps=10)
    again = large.reshape(64, 2, 64, 2, 3).mean(axis=(1, 3))
    assert np.abs(again - small).mean() < 12


def test_its_own_prompt_counts_and_so_does_its_sampler(context):
    usual = {"hires_factor": 2, "hires_strength": 0.8, "hires_steps": 6}
    same, _ = drawn(context, **usual)
    prompt, _ = drawn(context, **usual, hires_prompt="a green tree in the snow at night")
    sampler, _ = drawn(context, **usual, hires_sampler="Euler a")
    assert np.abs(same - prompt).mean() > 10
    assert np.abs(same - sampler).mean() > 1


def test_a_factor_of_one_changes_nothing(context):
    plain, steps = drawn(context)
    other, _ = drawn(context, hires_factor=1, hires_strength=0.9, hires_upscaler="lanczos", hires_prompt="a cat")
    assert np.array_equal(plain, other) and len(steps) == 6


def test_one_side_of_an_odd_factor_lies_on_the_grid(context):
    pixels, _ = drawn(context, hires_factor=1.4, hires_upscaler="lanczos", steps=3)
    assert pixels.shape == (96, 96, 3)


def test_weights_without_numbers_are_named_between_the_two_drawings_too(context, tmp_path):
    pipe = tiny_sd1()
    pipe.vae.decoder.conv_in.weight.data[:] = torch.nan
    path = save_single_file(pipe, tmp_path / "checkpoints" / "nan.safetensors")
    settings = Settings(home=tmp_path, device="cpu", threads=1)
    models = PipelineManager(Catalog((tmp_path,), path), context.policy, settings)
    with pytest.raises(BrokenPicture, match="'nan' are damaged: its vae holds NaN"):
        drawn(replace(context, models=models), checkpoint="nan", hires_factor=2, hires_upscaler="lanczos")


@pytest.mark.parametrize(("name", "code"), [("odd", "E-NAN"), ("gone", "E-UPSCALER")])
def test_an_upscaler_that_cannot_be_used_is_told_of_the_field_that_named_it(context, tmp_path, name, code):
    odd = tiny_compact(2)
    odd.body[0].weight.data[:] = torch.nan
    save_upscaler(odd, tmp_path / "upscalers" / "odd.safetensors")
    settings = Settings(home=tmp_path, device="cpu", threads=1)
    models = PipelineManager(Catalog((tmp_path,), STARTER), context.policy, settings)
    with pytest.raises(UserError) as caught:
        drawn(replace(context, models=models), hires_factor=2, hires_upscaler=name)
    assert (caught.value.code, caught.value.field) == (code, "hires_upscaler")
