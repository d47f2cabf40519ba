"""The motion module that ships and the recipe that made it."""

import argparse

import numpy as np
import pytest
import torch
from diffusers import MotionAdapter
from PIL import Image, ImageSequence
from safetensors.torch import load_file

from pipelines.engine.catalog import EXTRAS
from presets.requests import TextToImage
from training.evaluate import STARTER
from training.latents import scene_of
from training.make_motion import NAME, make_motion
from training.motion import clip_of
from training.painter import paint
from training.recipe import SMALLEST
from training.words import Scene, Thing

FRAMES = 8


def numbers(image):
    return np.asarray(image.convert("RGB")).astype(float)


def drawn(engine, **values):
    """The frames of a boat on the sea."""
    job = engine.submit(TextToImage(prompt="a red boat on the sea by day with clouds", steps=8, **values))
    with Image.open(job.result()[0].path) as picture:
        return np.stack([numbers(frame) for frame in ImageSequence.all_frames(picture)])


def test_frames_are_of_one_scene_that_moves(real_engine):
    """Neighbours differ a little; two pictures from other noise by far more."""
    frames = drawn(real_engine, seed=7, motion_module=NAME, frames=FRAMES)
    apart = np.abs(drawn(real_engine, seed=7) - drawn(real_engine, seed=8)).mean()
    assert np.abs(np.diff(frames, axis=0)).mean(axis=(1, 2, 3)).max() < 0.65 * apart
    assert np.abs(frames[0] - frames[FRAMES // 4]).max() > 40  # something is elsewhere


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("motion")
    options = argparse.Namespace(
        smallest=True, steps=0, clips=2, run=folder / "run", output=folder / "out", starter=STARTER, export_only=False
    )
    make_motion(SMALLEST, options)
    return options


def test_training_makes_a_module_that_begins_still_and_can_go_on(made):
    module = MotionAdapter.from_pretrained(made.output)
    assert module.config.block_out_channels == [64, 128, 192]
    before = load_file(made.output / "diffusion_pytorch_model.safetensors")
    assert all(not tensor.any() for name, tensor in before.items() if ".proj_out." in name)
    made.steps = 2
    make_motion(SMALLEST, made)
    after = load_file(made.output / "diffusion_pytorch_model.safetensors")
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_the_file_that_ships_is_one_of_this_recipe(made):
    shipped = load_file(EXTRAS / "motion_modules" / NAME / "diffusion_pytorch_model.safetensors")
    own = load_file(made.output / "diffusion_pytorch_model.safetensors")
    assert {name: tensor.shape for name, tensor in shipped.items()} == {name: own[name].shape for name in own}


def test_a_clip_begins_with_the_picture_itself_and_comes_back_to_it():
    first, *_, last = clip_of(3, 128)
    assert first.tobytes() == paint(scene_of(3), seed=3).tobytes()
    assert paint(scene_of(3), seed=3, moment=1.0).tobytes() == first.tobytes()
    assert last.tobytes() != first.tobytes()


def test_clouds_go_to_and_fro_and_houses_stay():
    scene = Scene((Thing("house", "red", "middle"),), "day", "meadow", frozenset({"clouds"}))
    before, after = (numbers(paint(scene, seed=5, moment=moment)) for moment in (0.0, 0.25))
    changed = np.abs(before - after).max(axis=2) > 20
    assert changed[:45].any() and not changed[60:].any()
