"""A ControlNet for the starter: `python -m training.make_controlnet [--steps N] [--run DIR] [--output DIR]`.

It follows outlines, white on black, and is trained on painted scenes whose things stand anywhere, with captions that
tell no place. A stopped run goes on where it was; `--continue-from DIR` begins with an exported ControlNet.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline

from training.control import ControlBatches, ControlLearner, encode_staged, train_control
from training.evaluate import STARTER
from training.export import export_beside
from training.learning import tell
from training.make_starter import ROOT
from training.make_styles import EXTRAS
from training.recipe import SMALLEST, STORYBOOK, Recipe

NAME = "storybook-outline"
STEPS, SCENES = 5800, 8000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smallest", action="store_true", help="every stage for a few steps, as the tests do")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--scenes", type=int, default=SCENES)
    parser.add_argument("--run", type=Path, default=ROOT / "training" / "runs" / "controlnet", metavar="DIR")
    parser.add_argument("--output", type=Path, default=EXTRAS / "controlnets" / NAME, metavar="DIR")
    parser.add_argument("--starter", type=Path, default=STARTER, metavar="DIR")
    parser.add_argument("--continue-from", type=Path, metavar="DIR", help="an exported ControlNet to train further")
    parser.add_argument("--export-only", action="store_true", help="write the last checkpoint as it is")
    parser.add_argument("--no-compile", action="store_true", help="do not compile (quicker for a few steps)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    make_controlnet(SMALLEST if options.smallest else replace(STORYBOOK, caption_dropout=0.15), options)


def make_controlnet(recipe: Recipe, options: argparse.Namespace) -> None:
    """Train and write the ControlNet."""
    torch.manual_seed(recipe.seed)
    checkpoint = options.run / "control.pt"
    pipeline = StableDiffusionPipeline.from_pretrained(options.starter, safety_checker=None, feature_extractor=None)
    learner = ControlLearner(pipeline)
    if options.export_only:
        learner.load(checkpoint)
    else:
        if options.continue_from and not checkpoint.exists():
            learner.start_from(options.continue_from)
        encode_staged(pipeline.vae.eval(), recipe, options.run, options.scenes, tell)
        batches = ControlBatches(recipe, pipeline.tokenizer, options.run, pipeline.vae.config.scaling_factor)
        compiled = not (options.smallest or options.no_compile)
        train_control(learner, batches, options.steps, checkpoint, tell, compiled)
    export_beside(learner.averaged, options.output)
    tell(f"exported step {learner.step} to {options.output}")


if __name__ == "__main__":
    main()
