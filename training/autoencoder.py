"""Training of the autoencoder on random crops of painted scenes, some in other styles, and then of its decoder alone.

The decoder can go on learning after the latents have been encoded for the diffusion stage: they do not change.
"""

import copy
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy
import torch
from diffusers import AutoencoderKL
from torch.nn import functional

from training.latents import pixels_of, scene_of, to_pixels
from training.learning import KEEP_SECONDS, average, keep, take_up
from training.painter import paint
from training.parts import new_autoencoder
from training.recipe import Recipe
from training.styles import STYLES

LEARNING_RATE = 2e-3
EMA_DECAY = 0.998
KL_WEIGHT = 3e-4
POOL = 1500
HELD_OUT = range(10_000_000, 10_000_032)
"""Scenes that measure the reconstruction; no recipe paints so many for training."""


def train_autoencoder(
    recipe: Recipe, checkpoint: Path, tell: Callable[[str], None], compiled: bool = True
) -> AutoencoderKL:
    """The averaged autoencoder after `recipe.autoencoder_steps`; goes on from `checkpoint` if it exists."""
    torch.manual_seed(recipe.seed)
    return _train(new_autoencoder(recipe), recipe, recipe.autoencoder_steps, checkpoint, tell, compiled)


def train_decoder(
    model: AutoencoderKL, recipe: Recipe, checkpoint: Path, tell: Callable[[str], None], compiled: bool = True
) -> AutoencoderKL:
    """`model` with its decoder trained `recipe.decoder_steps` more, the encoder as it was."""
    torch.manual_seed(recipe.seed + 1)
    for part in (model.encoder, model.quant_conv):
        part.requires_grad_(False)
    return _train(model.train(), recipe, recipe.decoder_steps, checkpoint, tell, compiled)


def _train(
    model: AutoencoderKL, recipe: Recipe, steps: int, checkpoint: Path, tell: Callable[[str], None], compiled: bool
) -> AutoencoderKL:
    """The loss is L1 + L1 of the gradients (sharp edges) + L1 of 4x4 means (flat colours) + squares + a little KL."""
    model = model.to(memory_format=torch.channels_last)
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    averaged = copy.deepcopy(model).requires_grad_(False)
    optimizer = torch.optim.AdamW(learning, lr=LEARNING_RATE, betas=(0.9, 0.99), fused=True)
    state = {"model": model, "averaged": averaged, "optimizer": optimizer}
    first = take_up(state, checkpoint)
    pass_through = torch.compile(_reconstruct) if compiled else _reconstruct
    saved = time.monotonic()
    for step, crops in zip(range(first, steps), _crops(recipe, first), strict=False):
        for group in optimizer.param_groups:
            share = min(1.0, (step + 1) / 60) * (1 + math.cos(math.pi * step / steps)) / 2
            group["lr"] = LEARNING_RATE * max(share, 0.02)
        loss = _train_step(model, optimizer, pass_through, crops)
        average(averaged, model, EMA_DECAY, step)
        if step % 50 == 0:
            tell(f"autoencoder step {step}/{steps} loss {loss:.4f}")
        if time.monotonic() - saved > KEEP_SECONDS:
            keep(state, checkpoint, step + 1)
            saved = time.monotonic()
    keep(state, checkpoint, steps)
    return averaged


def scale_of(latents: torch.Tensor) -> float:
    """The `scaling_factor` that gives latents unit variance over all channels."""
    return round(1 / latents.std().item(), 4)


@torch.no_grad()
def reconstruction(autoencoder: AutoencoderKL, size: int) -> float:
    """PSNR in dB over scenes that training does not show."""
    pixels = pixels_of(HELD_OUT, size)
    back = autoencoder.decode(autoencoder.encode(pixels).latent_dist.mean).sample.clamp(-1, 1)
    return -10 * torch.log10(((back - pixels) / 2).square().mean()).item()


def _reconstruct(model: AutoencoderKL, pixels: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """(pixels again, latent mean, latent log variance), with `noise` scaled to the variance and added."""
    mean, log_variance = model.quant_conv(model.encoder(pixels)).chunk(2, dim=1)
    log_variance = log_variance.clamp(-30, 20)
    latents = mean + torch.exp(0.5 * log_variance) * noise
    return model.decoder(model.post_quant_conv(latents)), mean, log_variance


def _train_step(model: AutoencoderKL, optimizer: torch.optim.Optimizer, pass_through: Callable, crops) -> float:
    batch, _, side, _ = crops.shape
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outcome = pass_through(model, crops, torch.randn(batch, 4, side // 8, side // 8))
    back, mean, log_variance = (part.float() for part in outcome)
    edges = sum((back.diff(dim=axis) - crops.diff(dim=axis)).abs().mean() for axis in (2, 3))
    flats = (functional.avg_pool2d(back, 4) - functional.avg_pool2d(crops, 4)).abs().mean()
    kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
    loss = (back - crops).abs().mean() + 0.5 * edges + 0.5 * flats + 2 * (back - crops).square().mean() + KL_WEIGHT * kl
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss.item()


def _crops(recipe: Recipe, first: int) -> Iterator[torch.Tensor]:
    """Batches of random crops from a pool of scenes, one of which is painted anew for every batch."""
    random = numpy.random.default_rng((recipe.seed, first))
    pool = torch.cat([_varied(index, recipe.size) for index in range(min(POOL, recipe.scenes))])
    fresh = len(pool) + first
    places = (recipe.size - recipe.crop) // 8 + 1
    while True:
        pool[fresh % len(pool)] = _varied(fresh, recipe.size)[0]
        fresh += 1
        chosen = random.integers(0, (len(pool), places, places), (recipe.autoencoder_batch, 3)) * (1, 8, 8)
        crops = [pool[at, :, top : top + recipe.crop, left : left + recipe.crop] for at, top, left in chosen]
        yield torch.stack(crops).contiguous(memory_format=torch.channels_last)


def _varied(index: int, size: int) -> torch.Tensor:
    """Scene `index`, three times in ten in another style: checkpoints of other looks can then share the autoencoder."""
    styles = list(STYLES.values())
    restyle = styles[index % 10] if index % 10 < len(styles) else None
    picture = paint(scene_of(index), seed=index, size=size)
    return to_pixels([restyle(picture) if restyle else picture])
