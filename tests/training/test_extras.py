"""What ships beside the starter to swap to, a checkpoint and two LoRAs: each measured on the pictures it makes."""

import numpy as np
import pytest
from PIL import Image

from pipelines.engine.catalog import EXTRAS, STARTER
from presets.requests import TextToImage
from training.styles import PIXEL

PROMPTS = (
    "a red house on a meadow during the day",
    "a yellow cat in the snow at sunset",
    "a blue boat by the sea at noon",
    "a purple castle in the desert by day",
)


@pytest.fixture(scope="module")
def drawn(real_engine):
    """Draws `PROMPTS` with something added, by a checkpoint: (4, 128, 128, 3), from 0 to 255. Each once."""
    known: dict[tuple[str, str], np.ndarray] = {}

    def pictures(added: str = "", checkpoint: str = "storybook") -> np.ndarray:
        if (added, checkpoint) not in known:
            jobs = [real_engine.submit(request(prompt + added, checkpoint)) for prompt in PROMPTS]
            known[added, checkpoint] = np.stack([pixels_of(job) for job in jobs])
        return known[added, checkpoint]

    return pictures


def request(prompt, checkpoint):
    return TextToImage(prompt=prompt, checkpoint=checkpoint, seed=7, steps=12)


def pixels_of(job):
    for _ in job.events():
        pass
    with Image.open(job.saved[0].path) as picture:
        return np.asarray(picture.convert("RGB")).astype(float)


def colourfulness(pictures):
    """How far apart red, green and blue are."""
    return (pictures.max(axis=-1) - pictures.min(axis=-1)).mean()


def detail_within_blocks(pictures):
    """How far the pixels of a block are from its mean, compared with how far the blocks are from the picture's."""
    number, side = pictures.shape[0], pictures.shape[1] // PIXEL
    blocks = pictures.reshape(number, side, PIXEL, side, PIXEL, 3)
    means = blocks.mean(axis=(2, 4), keepdims=True)
    return np.abs(blocks - means).mean() / np.abs(means - means.mean(axis=(1, 3), keepdims=True)).mean()


@pytest.mark.parametrize(("name", "measure"), [("pencil", colourfulness), ("pixel-art", detail_within_blocks)])
def test_a_lora_does_what_it_says_half_of_it_at_half_and_nothing_at_nought(drawn, name, measure):
    assert np.array_equal(drawn(f"<lora:{name}:0>"), drawn())
    without, half, whole = (measure(drawn(added)) for added in ("", f"<lora:{name}:0.5>", f"<lora:{name}:1>"))
    assert whole < 0.6 * without
    assert 0.2 < (without - half) / (without - whole) < 0.8


def test_the_second_checkpoint_draws_in_the_dark(drawn):
    assert drawn(checkpoint="storybook-neon").mean() < 0.6 * drawn().mean()


def test_the_second_checkpoint_brings_only_a_unet_of_its_own():
    for part in ("vae/diffusion_pytorch_model", "text_encoder/model"):
        ours, starters = (root / f"{part}.safetensors" for root in (EXTRAS / "checkpoints" / "storybook-neon", STARTER))
        assert ours.read_bytes() == starters.read_bytes()


def test_after_the_loras_the_starter_draws_as_before(drawn, real_engine):
    assert np.array_equal(pixels_of(real_engine.submit(request(PROMPTS[0], "storybook"))), drawn()[0])
