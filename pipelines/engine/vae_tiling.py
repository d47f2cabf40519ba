"""Decoding and encoding in tiles: slower and with blended seams, in the memory that one tile takes."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch


@contextlib.contextmanager
def tiling(vae: Any, on: bool = True) -> Iterator[None]:
    """Until the block is left, `vae` works in tiles (or not); a picture no larger than a tile is one."""
    own, vae.use_tiling = vae.use_tiling, on
    try:
        yield
    finally:
        vae.use_tiling = own


def can_be_divided(vae: Any, latents: torch.Tensor) -> bool:
    """Whether tiles would be smaller than `latents`, and `vae` does not work in them already."""
    return not vae.use_tiling and max(latents.shape[-2:]) > vae.tile_latent_min_size
