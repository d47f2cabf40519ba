"""A motion module for the starter: `python -m training.make_motion [--steps N] [--run DIR] [--output DIR]`.

It has painted scenes sway: clouds, waves, stars and what can move. A stopped run goes on where it was.
"""

import argparse
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline

from training.evaluate import STARTER
from training.export import export_beside
from training.learning import tell
from training.make_starter import ROOT
from training.make_styles import EXTRAS
from training.motion import MotionBatches, MotionLearner, encode_clips, train_motion
from training.recipe import SMALLEST, STORYBOOK, Recipe

NAME = "storybook-sway"
STEPS, CLIPS = 2400, 240


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smallest", action="store_true", help="every stage for a few steps, as the tests do")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--clips", type=int, default=CLIPS)
    parser.add_argument("--run", type=Path, default=ROOT / "training" / "runs" / "motion", metavar="DIR")
    parser.add_argument("--output", type=Path, default=EXTRAS / "motion_modules" / NAME, metavar="DIR")
    parser.add_argument("--starter", type=Path, default=STARTER, metavar="DIR")
    parser.add_argument("--export-only", action="store_true", help="write the last checkpoint as it is")
    options = parser.parse_args()
    torch.set_num_threads(1)
    make_motion(SMALLEST if options.smallest else STORYBOOK, options)


def make_motion(recipe: Recipe, options: argparse.Namespace) -> None:
    """Train and write the motion module."""
    torch.manual_seed(recipe.seed)
    checkpoint = options.run / "motion.pt"
    pipeline = StableDiffusionPipeline.from_pretrained(options.starter, safety_checker=None, feature_extractor=None)
    learner = MotionLearner(pipeline)
    if options.export_only:
        learner.load(checkpoint)
    else:
        encode_clips(pipeline.vae.eval(), recipe, options.run, options.clips, tell)
        batches = MotionBatches(recipe, pipeline.tokenizer, options.run, pipeline.vae.config.scaling_factor)
        train_motion(learner, batches, options.steps, checkpoint, tell)
    export_beside(learner.averaged, options.output)
    tell(f"exported step {learner.step} to {options.output}")


if __name__ == "__main__":
    main()
