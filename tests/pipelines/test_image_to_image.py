"""Image to image: the raw pipeline's pixels, whole pictures in whatever size was asked for."""

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionXLImg2ImgPipeline
from PIL import Image, ImageDraw

from pipelines.denoise import Watch, decode, denoise
from pipelines.engine.conditioning import Conditioner
from pipelines.engine.errors import Cancelled
from pipelines.image_to_image import from_picture
from presets.inputs import Inputs
from presets.requests import ImageToImage
from tests.checkpoints import tiny_sdxl
from tests.raw import raw_picture


def scene(size=(128, 64)):
    image = Image.new("RGB", size, (120, 170, 230))
    ImageDraw.Draw(image).rectangle((size[0] // 4, size[1] // 3, size[0] // 2, size[1] - 1), fill=(200, 40, 30))
    return image


@pytest.fixture(scope="module")
def pipe(starter_pipe):
    pipe = StableDiffusionImg2ImgPipeline(**starter_pipe.components)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def request(tmp_path, image=None, **values):
    reference = Inputs(tmp_path).keep(image or scene())
    usual = {"prompt": "a red house", "steps": 4, "seed": 7, "strength": 0.5, "image": reference}
    return ImageToImage(**usual | values).resolved("", (128, 128))


def latents_of(pipe, request, given, report=lambda _: None):
    def begin(pipe, picture, generator):
        return from_picture(pipe, picture, generator, given)

    conditioning = Conditioner().encode(pipe, request.prompt, request.negative_prompt)
    return denoise(pipe, conditioning, request, Watch(report), begin)


@pytest.mark.parametrize(
    "values", [{}, {"sampler": "Euler a"}, {"sampler": "Heun", "strength": 0.8}, {"strength": 1}, {"sampler": "LCM"}]
)
def test_the_picture_is_that_of_the_raw_pipeline(pipe, tmp_path, values):
    wanted = request(tmp_path, **values)
    ours = decode(pipe, latents_of(pipe, wanted, scene()), print)
    assert np.array_equal(np.array(ours), np.array(raw_picture(pipe, wanted, image=scene(), strength=wanted.strength)))


def test_sdxls_picture_is_that_of_the_raw_pipeline(tmp_path):
    pipe = StableDiffusionXLImg2ImgPipeline(**tiny_sdxl().to(torch.float32).components)
    pipe.set_progress_bar_config(disable=True)
    wanted = request(tmp_path, strength=0.75, negative_prompt="blue")  # diffusers encodes an empty one, others do not
    ours = decode(pipe, latents_of(pipe, wanted, scene()), print)
    assert np.array_equal(np.array(ours), np.array(raw_picture(pipe, wanted, image=scene(), strength=wanted.strength)))


@pytest.mark.parametrize(("sampler", "steps", "strength", "done"), [("Euler", 4, 0.5, 2), ("Heun", 5, 0.8, 4)])
def test_the_steps_reported_are_those_really_done(pipe, tmp_path, sampler, steps, strength, done):
    events = []
    latents_of(pipe, request(tmp_path, sampler=sampler, steps=steps, strength=strength), scene(), events.append)
    assert [(event.step, event.steps) for event in events] == [(step, done) for step in range(1, done + 1)]


def test_a_report_that_raises_ends_the_run_and_leaves_the_pipeline_sound(pipe, tmp_path):
    def cancel(_):
        raise Cancelled

    wanted, own = request(tmp_path), pipe.scheduler
    expected = latents_of(pipe, wanted, scene())
    with pytest.raises(Cancelled):
        latents_of(pipe, wanted, scene(), cancel)
    assert pipe.scheduler is own
    assert torch.equal(latents_of(pipe, wanted, scene()), expected)


def test_little_strength_keeps_the_picture_and_much_does_not(pipe, tmp_path):
    given = np.asarray(scene(), float)
    changes = []
    for strength in (0.25, 1.0):
        drawn = decode(pipe, latents_of(pipe, request(tmp_path, strength=strength), scene()), print)
        changes.append(np.abs(np.asarray(drawn, float) - given).mean())
    assert changes[0] < changes[1] / 2


@pytest.mark.parametrize("mode", ["crop", "stretch", "fill", "latent"])
def test_every_resize_mode_draws_in_the_size_asked_for(pipe, tmp_path, mode):
    wanted = request(tmp_path, scene((150, 90)), width=64, height=128, resize_mode=mode)
    assert latents_of(pipe, wanted, scene((150, 90))).shape[-2:] == (16, 8)
