"""The numbers of a recipe: what is trained, how large and for how long."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Recipe:
    """One way to make a starter model.

    Sizes in pixels. `unet_channels` are those of the UNet's levels (16x16, 8x8 and 4x4 latents at 128 px).
    """

    size: int = 128
    autoencoder_channels: tuple[int, ...] = (16, 32, 64, 128)
    autoencoder_steps: int = 6000
    autoencoder_batch: int = 16
    decoder_steps: int = 8000
    crop: int = 64
    scenes: int = 40_000
    text_width: int = 128
    text_layers: int = 2
    unet_channels: tuple[int, ...] = (64, 128, 192)
    unet_layers: int = 1
    unet_steps: int = 12_000
    unet_batch: int = 32
    learning_rate: float = 8e-4
    caption_dropout: float = 0.1
    judge_steps: int = 1500
    questions: int = 300
    seed: int = 20_261_122


STORYBOOK = Recipe()
"""The model that ships."""

SMALLEST = Recipe(
    autoencoder_channels=(8, 8, 16, 16),
    autoencoder_steps=3,
    decoder_steps=2,
    autoencoder_batch=2,
    scenes=24,
    text_width=64,
    text_layers=1,
    unet_channels=(32, 32, 64),
    unet_steps=3,
    unet_batch=4,
    judge_steps=3,
    questions=6,
)
"""Every stage for a few steps, so that a test can run the whole recipe."""
