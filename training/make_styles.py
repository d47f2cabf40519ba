"""Things to swap to: `python -m training.make_styles [--steps N] [--run DIR] [--output DIR] [--styles ...]`.

From the starter model, a second checkpoint that glows in the dark (storybook-neon) and two LoRAs (pixel-art, pencil).
Each is trained on painted scenes in its style; all share the starter's autoencoder and text encoder.
"""

import argparse
import time
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline

from training.diffusion import Batches
from training.evaluate import STARTER
from training.export import PREVIEW_SCENES, export
from training.latents import load_latents
from training.make_starter import ROOT
from training.recipe import STORYBOOK, Recipe
from training.restyle import CHECKPOINT_RATE, LORA_RATE, add_lora, encode_styled, save_lora, styled_pixels, train_style
from training.styles import STYLES

EXTRAS = ROOT / "pipelines" / "engine" / "extras"
CHECKPOINTS = ("neon",)
SCENES = 6000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--scenes", type=int, default=SCENES)
    parser.add_argument("--run", type=Path, default=ROOT / "training" / "runs" / "styles", metavar="DIR")
    parser.add_argument("--output", type=Path, default=EXTRAS, metavar="DIR")
    parser.add_argument("--starter", type=Path, default=STARTER, metavar="DIR")
    parser.add_argument("--styles", nargs="+", choices=sorted(STYLES), default=list(STYLES))
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.styles:
        make_style(name, STORYBOOK, options)


def make_style(name: str, recipe: Recipe, options: argparse.Namespace) -> None:
    """Train and write the checkpoint or LoRA of style `name`."""
    torch.manual_seed(recipe.seed)
    pipeline = StableDiffusionPipeline.from_pretrained(options.starter, safety_checker=None, feature_extractor=None)
    latents = options.run / name
    if not (latents / "000000.npy").exists():
        encode_styled(pipeline.vae.eval(), STYLES[name], recipe, latents, options.scenes)
    batches = Batches(recipe, pipeline.tokenizer, latents, pipeline.vae.config.scaling_factor)
    whole = name in CHECKPOINTS
    if not whole:
        add_lora(pipeline.unet)
    train_style(
        pipeline.unet, pipeline.text_encoder, batches, options.steps, CHECKPOINT_RATE if whole else LORA_RATE, _tell
    )
    if whole:
        few = load_latents(latents)[:PREVIEW_SCENES]
        pixels = styled_pixels(STYLES[name], range(len(few)), recipe.size)
        export(pipeline, few, pixels, options.output / "checkpoints" / f"storybook-{name}")
    else:
        save_lora(pipeline.unet, options.output / "loras" / f"{name}.safetensors", _metadata(name))


def _metadata(name: str) -> dict[str, str]:
    """As the field writes it into LoRAs: base model and title."""
    return {
        "modelspec.title": name,
        "modelspec.architecture": "stable-diffusion-v1/lora",
        "modelspec.license": "Apache-2.0",
        "ss_sd_model_name": "storybook",
        "ss_network_module": "networks.lora",
    }


def _tell(message: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {message}", flush=True)


if __name__ == "__main__":
    main()
