"""Real models that restore faces, with seeded weights, and a picture with real faces."""

import functools

import cv2
import numpy as np
import torch
from PIL import Image
from skimage import data
from spandrel.architectures.GFPGAN import GFPGAN
from spandrel.architectures.RestoreFormer import RestoreFormer

EYES = (203.25, 100.25), (246.25, 102.5)
"""Where the eyes are in scikit-image's picture of Eileen Collins, measured by hand."""


def tiny_restorer() -> torch.nn.Module:
    """RestoreFormer's network at its smallest: it reads squares of 512 pixels, as all such models do."""
    torch.manual_seed(5)
    return RestoreFormer(
        n_embed=16, embed_dim=32, ch=32, out_ch=3, ch_mult=(1, 1, 1, 1, 1, 1), num_res_blocks=1, attn_resolutions=(16,),
        in_channels=3, resolution=512, z_channels=32, double_z=False, enable_mid=True, head_size=8,
    ).eval()  # fmt: skip


def gfpgan() -> torch.nn.Module:
    """GFPGAN's network as its released files have it, with random weights."""
    torch.manual_seed(5)
    return GFPGAN(out_size=512, channel_multiplier=2, input_is_latent=True, different_w=True, sft_half=True).eval()


@functools.cache
def turned(angle: float, scale: float = 1.0) -> tuple[Image.Image, tuple[tuple[float, float], ...]]:
    """A photograph of a face turned by `angle` degrees, 320 x 320 pixels at scale 1; and where its eyes are."""
    side = round(320 * scale)
    matrix = cv2.getRotationMatrix2D((224, 110), angle, scale)
    matrix[:, 2] += side / 2 - 224, side / 2 - 110
    pixels = cv2.warpAffine(data.astronaut(), matrix, (side, side), borderMode=cv2.BORDER_REPLICATE)
    eyes = tuple(tuple(float(value) for value in matrix @ (*eye, 1)) for eye in EYES)
    return Image.fromarray(pixels), eyes


@functools.cache
def two_faces() -> Image.Image:
    """Two faces, one turned by 12 degrees and one smaller and turned the other way, beside each other."""
    image = Image.new("RGB", (520, 340), (120, 130, 140))
    image.paste(turned(12)[0], (0, 10))
    image.paste(turned(-8, 0.6)[0], (326, 20))
    return image


def noise(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8)
