"""Other looks: what a style does to a painted picture, and what training makes of it."""

import argparse

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors import safe_open

from training.evaluate import STARTER
from training.latents import scene_of
from training.make_styles import make_style
from training.painter import paint
from training.recipe import SMALLEST
from training.styles import PIXEL, STYLES


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("styles")
    options = argparse.Namespace(steps=2, scenes=4, run=folder / "run", output=folder / "extras", starter=STARTER)
    for name in ("neon", "pencil"):
        make_style(name, SMALLEST, options)
    return folder / "extras"


@pytest.mark.parametrize("name", STYLES)
def test_a_style_makes_another_picture_of_the_same_size_always_the_same(name):
    picture = paint(scene_of(3), seed=3)
    first, again = (STYLES[name](picture) for _ in range(2))
    assert (first.size, first.mode) == (picture.size, "RGB")
    assert first.tobytes() == again.tobytes()
    assert np.abs(np.asarray(first).astype(int) - np.asarray(picture)).mean() > 8


def test_pixel_art_is_made_of_blocks_of_one_colour():
    blocks = np.asarray(STYLES["pixel-art"](paint(scene_of(3), seed=3))).reshape(
        128 // PIXEL, PIXEL, 128 // PIXEL, PIXEL, 3
    )
    assert (blocks == blocks[:, :1, :, :1]).all()


def test_pencil_is_grey_and_neon_dark():
    pictures = {name: np.asarray(STYLES[name](paint(scene_of(4), seed=4))).astype(int) for name in STYLES}
    assert (pictures["pencil"] == pictures["pencil"][..., :1]).all()
    assert pictures["neon"].mean() < 110 < pictures["pencil"].mean()


def test_a_trained_lora_is_in_kohyas_spelling_and_diffusers_draws_otherwise_with_it(made):
    file = made / "loras" / "pencil.safetensors"
    with safe_open(file, framework="pt") as tensors:
        assert all(name.startswith("lora_unet_") for name in tensors.keys())  # noqa: SIM118
        assert tensors.metadata()["ss_sd_model_name"] == "storybook"
    pipeline = StableDiffusionPipeline.from_pretrained(STARTER, safety_checker=None, feature_extractor=None)
    inputs = (torch.randn(1, 4, 16, 16), 500, torch.randn(1, 77, pipeline.unet.config.cross_attention_dim))
    with torch.no_grad():
        before = pipeline.unet(*inputs).sample
        pipeline.load_lora_weights(made / "loras", weight_name=file.name)
        assert not torch.allclose(pipeline.unet(*inputs).sample, before, atol=1e-5)


def test_a_trained_checkpoint_shares_the_starters_other_parts(made):
    folder = made / "checkpoints" / "storybook-neon"
    changed = {}
    for part in ("unet", "vae", "text_encoder"):
        stem = "model" if part == "text_encoder" else "diffusion_pytorch_model"
        files = [root / part / f"{stem}.safetensors" for root in (STARTER, folder)]
        changed[part] = files[0].read_bytes() != files[1].read_bytes()
    assert changed == {"unet": True, "vae": False, "text_encoder": False}
