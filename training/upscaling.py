"""Training of a small upscaler on painted scenes: a scene made smaller is what it sees, the scene what it should give.

The network is Real-ESRGAN's compact one (https://github.com/xinntao/Real-ESRGAN, SRVGGNetCompact): all layers work on
the small picture, the last one makes the large. Some small pictures have been through the starter's autoencoder, so
that what the starter draws becomes sharp.
"""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy
import torch
from diffusers import AutoencoderKL
from PIL import Image, ImageFilter
from spandrel.architectures.Compact import Compact
from torch.nn import functional

from training.evaluate import STARTER
from training.latents import scene_of, to_pixels
from training.learning import KEEP_SECONDS, average, keep, take_up
from training.painter import paint

RESAMPLINGS = (
    Image.Resampling.BOX,
    Image.Resampling.BILINEAR,
    Image.Resampling.HAMMING,
    Image.Resampling.BICUBIC,
    Image.Resampling.LANCZOS,
)
BLURRED_SHARE = 0.2
REDRAWN_SHARE = 0.25
"""Of the small pictures, that have been through the autoencoder."""
EMA_DECAY = 0.998
CROP = 40
"""Pixels of the small picture."""


@dataclass(frozen=True, slots=True)
class UpscalerRecipe:
    """How an upscaler is made. `sides` are those of the small pictures, in pixels."""

    scale: int = 2
    features: int = 32
    layers: int = 12
    steps: int = 6400
    batch: int = 8
    learning_rate: float = 1e-3
    pool: int = 192
    sides: tuple[int, ...] = (96, 128, 128, 192)
    seed: int = 20_261_122


SMALLEST = UpscalerRecipe(features=4, layers=1, steps=3, batch=2, pool=2, sides=(64,))
"""For a few steps, so that a test can run the whole recipe."""


class Scenes:
    """Pairs of pictures, small and large, painted anew one by one as training goes on."""

    def __init__(self, recipe: UpscalerRecipe):
        self._recipe = recipe
        self._random = Random(f"upscaler {recipe.seed}")
        self._autoencoder = AutoencoderKL.from_pretrained(STARTER / "vae").eval().requires_grad_(False)
        self._painted = 0
        self._pairs = [self._pair() for _ in range(recipe.pool)]

    def batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Crops of small and large pictures, (batch, 3, side, side) in [0, 1]; one scene is replaced by a new one."""
        self._pairs[self._painted % len(self._pairs)] = self._pair()
        crops = [self._crop(*self._random.choice(self._pairs)) for _ in range(self._recipe.batch)]
        small, large = (torch.stack(side) for side in zip(*crops, strict=True))
        return small, large

    def _pair(self) -> tuple[torch.Tensor, torch.Tensor]:
        random, index = self._random, self._painted
        self._painted += 1
        side = random.choice(self._recipe.sides)
        large = paint(scene_of(index), seed=index, size=side * self._recipe.scale)
        small = large
        if random.random() < BLURRED_SHARE:
            small = small.filter(ImageFilter.GaussianBlur(random.uniform(0.2, 0.5) * self._recipe.scale))
        small = small.resize((side, side), random.choice(RESAMPLINGS))
        redrawn = side == 128 and random.random() < REDRAWN_SHARE
        return self._redrawn(small) if redrawn else _tensor(small), _tensor(large)

    def _redrawn(self, picture: Image.Image) -> torch.Tensor:
        """`picture` as the starter would draw it: through its autoencoder and in whole numbers again."""
        with torch.autocast("cpu", dtype=torch.bfloat16):
            latents = self._autoencoder.encode(to_pixels([picture])).latent_dist.mean
            pixels = self._autoencoder.decode(latents).sample.float()
        return ((pixels[0] * 127.5 + 127.5).round().clamp(0, 255)).byte()

    def _crop(self, small: torch.Tensor, large: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        random, scale = self._random, self._recipe.scale
        left, top = (random.randint(0, length - CROP) for length in (small.shape[2], small.shape[1]))
        turns, mirrored = random.randint(0, 3), random.random() < 0.5
        here = small[:, top : top + CROP, left : left + CROP]
        there = large[:, top * scale : (top + CROP) * scale, left * scale : (left + CROP) * scale]
        turned = [torch.rot90(part, turns, (1, 2)) for part in (here, there)]
        one, other = (part.flip(2) if mirrored else part for part in turned)
        return one.float() / 255, other.float() / 255


def _tensor(picture: Image.Image) -> torch.Tensor:
    """(3, height, width), whole numbers: the pool holds four times as many."""
    return torch.from_numpy(numpy.array(picture)).permute(2, 0, 1)


def new_upscaler(recipe: UpscalerRecipe) -> Compact:
    return Compact(num_feat=recipe.features, num_conv=recipe.layers, upscale=recipe.scale)


def train_upscaler(recipe: UpscalerRecipe, checkpoint: Path, tell: Callable[[str], None]) -> Compact:
    """The averaged upscaler after `recipe.steps`; goes on from `checkpoint` if it exists.

    The loss is the mean distance, and in the last third of the steps the mean square, which PSNR is the logarithm of.
    """
    torch.manual_seed(recipe.seed)
    model = new_upscaler(recipe).to(memory_format=torch.channels_last)
    averaged = copy.deepcopy(model).requires_grad_(False)
    optimizer = torch.optim.Adam(model.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.99), fused=True)
    state = {"model": model, "averaged": averaged, "optimizer": optimizer}
    first = take_up(state, checkpoint)
    scenes = Scenes(recipe)
    saved = started = time.monotonic()
    for step in range(first, recipe.steps):
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * _pace(step / recipe.steps)
        loss = _step(model, optimizer, scenes.batch(), squared=step > recipe.steps * 2 / 3)
        average(averaged, model, EMA_DECAY, step)
        if (step + 1) % 100 == 0:
            tell(f"upscaler {step + 1}/{recipe.steps} loss {loss:.5f}, {time.monotonic() - started:.0f} s")
        if time.monotonic() - saved > KEEP_SECONDS or step + 1 == recipe.steps:
            saved = time.monotonic()
            keep(state, checkpoint, step + 1)
    return averaged.eval()


def _step(
    model: Compact, optimizer: torch.optim.Optimizer, batch: tuple[torch.Tensor, torch.Tensor], *, squared: bool
) -> float:
    small, large = (part.contiguous(memory_format=torch.channels_last) for part in batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        given = model(small)
    distance = functional.mse_loss if squared else functional.l1_loss
    loss = distance(given.float(), large) * (10 if squared else 1)
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
    optimizer.step()
    return loss.item()


def _pace(done: float) -> float:
    """Share of the learning rate: a short rise, then down by a cosine."""
    return min(1.0, done * 50 + 0.02) * (0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)
