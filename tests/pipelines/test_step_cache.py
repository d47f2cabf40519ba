"""Steps that reuse the last one, on a tiny Flux."""

import pytest
import torch

from pipelines.denoise import Watch, denoise
from pipelines.engine.conditioning import Conditioner
from pipelines.engine.step_cache import can_reuse
from presets.requests import TextToImage
from tests.checkpoints import tiny_flux, tiny_sd1

REQUEST = TextToImage(prompt="a cat", steps=6, seed=3, width=64, height=64, guidance_scale=4, sampler="Euler")


@pytest.fixture(scope="module")
def pipe():
    pipe = tiny_flux().to(torch.float32)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def latents(pipe, **values):
    """Of a picture, and how often the last block was computed for it."""
    calls = []
    inside = pipe.transformer.single_transformer_blocks[-1].attn
    hook = inside.register_forward_hook(lambda *_: calls.append(1))
    conditioning = Conditioner().encode(pipe, REQUEST.prompt, "")
    try:
        return denoise(pipe, conditioning, REQUEST.model_copy(update=values), Watch(lambda _: None)), len(calls)
    finally:
        hook.remove()


def test_a_loose_threshold_reuses_steps_always_the_same_way_and_nothing_stays_behind(pipe):
    plain, every = latents(pipe)
    reused, fewer = latents(pipe, step_cache=0.5)
    again, _ = latents(pipe, step_cache=0.5)
    assert fewer < every == 6
    assert torch.equal(reused, again) and not torch.equal(reused, plain)
    after, computed = latents(pipe)
    assert torch.equal(after, plain) and computed == every
    assert not pipe.transformer.is_cache_enabled


def test_unets_have_no_step_cache_and_draw_as_without():
    pipe = tiny_sd1().to(torch.float32)
    pipe.set_progress_bar_config(disable=True)
    assert not can_reuse(pipe.unet)
    conditioning = Conditioner().encode(pipe, REQUEST.prompt, "")
    plain, cached = (
        denoise(pipe, conditioning, REQUEST.model_copy(update={"step_cache": value}), Watch(lambda _: None))
        for value in (0.0, 0.5)
    )
    assert torch.equal(plain, cached)
