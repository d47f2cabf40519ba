"""The upscaler that ships: `python -m training.make_upscaler [--steps N] [--scale N] [--run DIR] [--output DIR]`.

Painted scenes made smaller, and the way back learnt. A stopped run goes on where it was. Everything is seeded.
"""

import argparse
import dataclasses
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from spandrel.architectures.Compact import Compact

from training.make_starter import ROOT
from training.make_styles import EXTRAS
from training.upscaling import UpscalerRecipe, train_upscaler


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=UpscalerRecipe().steps)
    parser.add_argument("--scale", type=int, default=2, choices=(2, 4))
    parser.add_argument("--run", type=Path, default=ROOT / "training" / "runs" / "upscaler", metavar="DIR")
    parser.add_argument("--output", type=Path, default=EXTRAS, metavar="DIR")
    options = parser.parse_args()
    torch.set_num_threads(1)
    make_upscaler(dataclasses.replace(UpscalerRecipe(), steps=options.steps, scale=options.scale), options)


def make_upscaler(recipe: UpscalerRecipe, options: argparse.Namespace) -> Path:
    """Train and write the upscaler of `recipe`; its file."""
    options.run.mkdir(parents=True, exist_ok=True)
    model = train_upscaler(recipe, options.run / f"x{recipe.scale}.pt", _tell)
    file = options.output / "upscalers" / f"storybook-x{recipe.scale}.safetensors"
    file.parent.mkdir(parents=True, exist_ok=True)
    save_upscaler(model, file, recipe)
    _tell(f"{file.name}: {file.stat().st_size:,} bytes")
    return file


def save_upscaler(model: Compact, file: Path, recipe: UpscalerRecipe) -> None:
    tensors = {name: tensor.float().contiguous() for name, tensor in model.state_dict().items()}
    save_file(
        tensors,
        file,
        {
            "modelspec.title": f"storybook-x{recipe.scale}",
            "modelspec.architecture": "real-esrgan-compact",
            "modelspec.license": "Apache-2.0",
            "modelspec.description": f"{recipe.steps} steps on painted scenes; makes pictures {recipe.scale} times as "
            "large.",
        },
    )


def _tell(message: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {message}", flush=True)


if __name__ == "__main__":
    main()
