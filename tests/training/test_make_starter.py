"""The whole recipe at its smallest: from nothing to a folder that diffusers loads."""

import pytest
import torch
from diffusers import StableDiffusionPipeline

from training.diffusion import Batches, DiffusionLearner
from training.make_starter import STAGES, Run
from training.recipe import SMALLEST


@pytest.fixture(scope="module")
def smallest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    run = Run(SMALLEST, folder / "work", folder / "starter", compiled=False)
    run.folder.mkdir()
    for stage in STAGES:
        getattr(run, stage)()
    return run


def test_the_recipe_makes_a_folder_that_diffusers_loads_and_that_draws(smallest):
    pipeline = StableDiffusionPipeline.from_pretrained(smallest.output, safety_checker=None, feature_extractor=None)
    pipeline.set_progress_bar_config(disable=True)
    picture = pipeline("a red house", num_inference_steps=2, generator=torch.Generator().manual_seed(1)).images[0]
    assert picture.size == (SMALLEST.size, SMALLEST.size)


def test_a_run_that_is_started_again_goes_on_where_it_was(smallest):
    learner = smallest.diffusion()
    assert learner.step == SMALLEST.unet_steps


def test_training_moves_the_weights_and_the_average_follows(smallest):
    learner = smallest.diffusion()
    trained = learner.unet.conv_in.weight
    averaged = learner.averaged["unet"].conv_in.weight
    assert not torch.equal(trained, averaged)
    assert (trained - averaged).abs().max() < 0.1


def test_an_exported_model_can_be_trained_further(smallest, tmp_path):
    further = Run(SMALLEST, tmp_path, tmp_path / "starter", compiled=False)
    further.continue_from(smallest.output)
    before, after = DiffusionLearner(SMALLEST, further.tokenizer()), DiffusionLearner(SMALLEST, further.tokenizer())
    before.load(smallest.folder / "diffusion.pt")
    after.load(tmp_path / "diffusion.pt")
    assert after.step == 0
    assert torch.allclose(after.unet.conv_in.weight, before.averaged["unet"].conv_in.weight, atol=1e-3)
    assert further.scale() == smallest.scale()


def test_the_same_step_gives_the_same_batch(smallest):
    batches = Batches(SMALLEST, smallest.tokenizer(), smallest.folder / "latents", smallest.scale())
    first, again, other = batches.at(5), batches.at(5), batches.at(6)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["latents"], other["latents"])
