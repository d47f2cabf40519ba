"""Painted scenes as latents: painted and encoded once, with a caption drawn anew each time they are used."""

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import numpy
import torch
from diffusers import AutoencoderKL
from PIL import Image

from training.painter import paint
from training.recipe import Recipe
from training.words import Scene, describe, pairs_for_training, random_scene

CHUNK = 2000


def scene_of(index: int) -> Scene:
    """Training scene `index`, always the same; held-out pairs never occur."""
    return random_scene(Random(f"scene {index}"), pairs_for_training())


def caption_of(scene: Scene, random: Random) -> str:
    """A caption that is true of the whole scene, in words drawn from `random`."""
    while (sample := describe(random, scene)).scene != scene:
        pass
    return sample.caption


def pixels_of(indices: range, size: int) -> torch.Tensor:
    """Painted scenes as (number, 3, size, size) in [-1, 1]."""
    return to_pixels([paint(scene_of(index), seed=index, size=size) for index in indices])


def to_pixels(pictures: Sequence[Image.Image]) -> torch.Tensor:
    """RGB pictures of one size as (number, 3, height, width) in [-1, 1]."""
    values = numpy.stack([numpy.asarray(picture) for picture in pictures])
    return torch.from_numpy(values).permute(0, 3, 1, 2).float() / 127.5 - 1


@torch.no_grad()
def encode_scenes(
    autoencoder: AutoencoderKL, recipe: Recipe, folder: Path, tell: Callable[[str], None], first: int = 0
) -> None:
    """Write the latents (means, float16, not yet scaled) of all scenes into chunk files; those that exist are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    for start in range(first, recipe.scenes, CHUNK):
        file = folder / f"{start:06d}.npy"
        if file.exists():
            continue
        indices = range(start, min(start + CHUNK, recipe.scenes))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            parts = [
                autoencoder.encode(pixels_of(indices[at : at + 16], recipe.size)).latent_dist.mean
                for at in range(0, len(indices), 16)
            ]
        partial = file.with_suffix(".part")
        with partial.open("wb") as stream:
            numpy.save(stream, torch.cat(parts).half().numpy())
        partial.replace(file)
        tell(f"encoded {indices.stop} of {recipe.scenes} scenes")


def load_latents(folder: Path) -> torch.Tensor:
    """All latents encoded so far, (number, 4, side, side) float32; row i is scene i."""
    return torch.from_numpy(numpy.concatenate([numpy.load(file) for file in sorted(folder.glob("*.npy"))])).float()
