"""How near an upscaler comes to scenes it has not seen: `python -m training.evaluate_upscaler [FILE ...]`.

Held-out scenes are made smaller in several ways and larger again, by the model and by Lanczos. Prints both, in dB of
PSNR over red, green and blue: the mean of the scenes.
"""

import argparse
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy
import torch
from PIL import Image
from spandrel import ImageModelDescriptor, ModelLoader

from training.autoencoder import HELD_OUT
from training.latents import scene_of
from training.make_styles import EXTRAS
from training.painter import paint

SIDE = 128
"""Pixels of the small pictures."""
WAYS = {
    "box": Image.Resampling.BOX,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def evaluate_upscaler(file: Path, scenes: range = HELD_OUT) -> dict[str, dict[str, float]]:
    """For each way of making smaller: dB by the model, by Lanczos, and how much the model is ahead."""
    model = open_upscaler(file)
    large = [paint(scene_of(index), seed=index, size=SIDE * model.scale) for index in scenes]
    return {name: _compared(model, large, way) for name, way in WAYS.items()}


def open_upscaler(file: Path) -> ImageModelDescriptor:
    model = ModelLoader("cpu").load_from_file(file)
    assert isinstance(model, ImageModelDescriptor)
    return model.eval()


def _compared(model: ImageModelDescriptor, large: list[Image.Image], way: Image.Resampling) -> dict[str, float]:
    small = [picture.resize((SIDE, SIDE), way) for picture in large]
    ways: dict[str, Callable[[Image.Image], Image.Image]] = {
        "model": lambda picture: upscaled(model, picture),
        "lanczos": lambda picture: picture.resize((SIDE * model.scale,) * 2, Image.Resampling.LANCZOS),
    }
    means = {name: sum(map(psnr, map(make, small), large)) / len(large) for name, make in ways.items()}
    return {name: round(mean, 2) for name, mean in means.items()} | {
        "ahead": round(means["model"] - means["lanczos"], 2)
    }


@torch.no_grad()
def upscaled(model: ImageModelDescriptor, picture: Image.Image) -> Image.Image:
    pixels = torch.from_numpy(numpy.array(picture)).permute(2, 0, 1)[None].float() / 255
    values = (model(pixels)[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0)
    return Image.fromarray(values.numpy())


def psnr(one: Image.Image, other: Image.Image) -> float:
    """Peak signal-to-noise ratio in dB."""
    difference = numpy.asarray(one).astype(float) - numpy.asarray(other)
    return 10 * math.log10(255**2 / max((difference**2).mean(), 1e-10))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, default=sorted((EXTRAS / "upscalers").glob("*.safetensors")))
    for file in parser.parse_args().files:
        print(f"{file.name}: {json.dumps(evaluate_upscaler(file), indent=2)}")


if __name__ == "__main__":
    main()
