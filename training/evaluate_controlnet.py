"""Does the starter draw things where an outline has them? `python -m training.evaluate_controlnet [--control DIR]`.

100 outlines of an object, alone and anywhere, each with a prompt that tells no place. A picture is right if the
classifier of what stands in frames (training/frame_judge.py) sees the object in its frame, and most of the outline's
lines are edges of the picture. The same is asked of pictures without control, and of painted ones, right and moved, to
measure the measure. Prints JSON and writes a contact sheet: outline, with control, without.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import cv2
import numpy
import torch
from diffusers import ControlNetModel, StableDiffusionControlNetPipeline
from PIL import Image

from pipelines.engine.catalog import STARTER
from training.evaluate import BATCH, GUIDANCE, STEPS, open_model
from training.frame_judge import FrameJudge, load_frame_judge
from training.make_controlnet import NAME
from training.make_styles import EXTRAS
from training.outlines import Staged, anywhere, caption_without_places, outline_of
from training.painter import Frame, usual_frame
from training.words import Scene, Thing, pairs_for_training, random_scene

CONTROL = EXTRAS / "controlnets" / NAME
QUESTIONS = 100
SIZES = (0.8, 1.0)
"""Of the things, as shares of what is usual: as large as the starter draws them, but anywhere."""
NEAR = 2
"""Pixels by which an edge may lie beside a line."""
AGREEMENT = 0.7
"""Share of an outline's pixels that must be near an edge."""


@dataclass(frozen=True, slots=True)
class Question:
    """An outline of one thing at a place, and a prompt that tells all but the place."""

    stage: Staged
    prompt: str

    @property
    def thing(self) -> Thing:
        return self.stage.scene.things[0]


def questions(number: int = QUESTIONS) -> list[Question]:
    """Always the same ones, of pairs of object and colour that training shows, in scenes that it does not."""
    random = Random("questions for the ControlNet")
    asked = []
    while len(asked) < number:
        scene = random_scene(random, pairs_for_training())
        scene = Scene(scene.things[:1], scene.sky, scene.ground, scene.extras)
        frame = anywhere(random, scene, scene.things[0], SIZES)
        stage = Staged(scene, (frame,), 10**7 + len(asked))
        asked.append(Question(stage, caption_without_places(scene, random)))
    return asked


def draw(model: Path, asked: Sequence[Question], control: ControlNetModel | None) -> list[Image.Image]:
    """The pictures of `asked`, each with its number as the seed, following their outlines or without `control`.

    By diffusers' own pipeline, which takes several at once; a test holds the program's pixels equal to its.
    """
    pipeline = open_model(model)
    if control is not None:
        pipeline = StableDiffusionControlNetPipeline(**pipeline.components, controlnet=control)
        pipeline.set_progress_bar_config(disable=True)
    size, pictures = pipeline.unet.config.sample_size * 8, []
    for start in range(0, len(asked), BATCH):
        some = asked[start : start + BATCH]
        outlines = {"image": [outline_of(question.stage, size) for question in some]} if control is not None else {}
        generators = [torch.Generator().manual_seed(start + at) for at in range(len(some))]
        prompts = [question.prompt for question in some]
        options = {"num_inference_steps": STEPS, "guidance_scale": GUIDANCE, "generator": generators}
        pictures += pipeline(prompts, **outlines, **options).images
    return pictures


def agreement(picture: Image.Image, outline: Image.Image) -> float:
    """The share of the outline's pixels that lie near an edge of the picture."""
    lines = numpy.asarray(outline.convert("L")) > 127
    edges = cv2.Canny(numpy.asarray(picture.convert("RGB")), 40, 80)
    near = cv2.dilate(edges, numpy.ones((2 * NEAR + 1, 2 * NEAR + 1), numpy.uint8)) > 0
    return float(near[lines].mean())


def is_there(judge: FrameJudge, picture: Image.Image, stage: Staged) -> bool:
    """Whether `picture` shows the stage's one thing in its frame."""
    seen = judge.look(picture, stage.frames[0]).object
    return seen == stage.scene.things[0].object and agreement(picture, outline_of(stage, picture.width)) >= AGREEMENT


def share(judge: FrameJudge, pictures: Sequence[Image.Image], stages: Sequence[Staged]) -> float:
    there = [is_there(judge, picture, stage) for picture, stage in zip(pictures, stages, strict=True)]
    return round(sum(there) / len(there), 4)


def colour_share(judge: FrameJudge, pictures: Sequence[Image.Image], asked: Sequence[Question]) -> float:
    """Of the things seen in their frames, those in the colour that the prompt names."""
    looked = [judge.look(picture, question.stage.frames[0]) for question, picture in zip(asked, pictures, strict=True)]
    seen = [
        (question.thing, one)
        for question, one in zip(asked, looked, strict=True)
        if one.object == question.thing.object
    ]
    return round(sum(thing.colour == one.colour for thing, one in seen) / max(len(seen), 1), 4)


def evaluate(control: Path, model: Path = STARTER, number: int = QUESTIONS) -> tuple[dict[str, float], Image.Image]:
    """Shares of pictures that show the thing where its outline is, and a sheet of some of them."""
    judge, asked = load_frame_judge(), questions(number)
    stages = [question.stage for question in asked]
    drawn = {
        "with control": draw(model, asked, ControlNetModel.from_pretrained(control)),
        "without control": draw(model, asked, None),
    }
    size = drawn["with control"][0].width
    moved = [Staged(stage.scene, (_elsewhere(stage),), stage.seed).picture(size) for stage in stages]
    report = {name: share(judge, pictures, stages) for name, pictures in drawn.items()}
    report |= {
        "colour with control": colour_share(judge, drawn["with control"], asked),
        "painted there": share(judge, [stage.picture(size) for stage in stages], stages),
        "painted elsewhere": share(judge, moved, stages),
    }
    return report, _sheet(
        [(outline_of(question.stage, size), *pair) for question, *pair in zip(asked, *drawn.values(), strict=True)]
    )


def _elsewhere(stage: Staged) -> Frame:
    """Where the starter draws the stage's thing by itself."""
    return usual_frame(stage.scene, stage.scene.things[0])


def _sheet(rows: Sequence[tuple[Image.Image, ...]], columns: int = 8) -> Image.Image:
    """Some of the rows, each as a column of its pictures."""
    chosen = rows[: 3 * columns]
    side, depth = chosen[0][0].width, len(chosen[0])
    sheet = Image.new("RGB", (columns * (side + 4), -(-len(chosen) // columns) * (depth * side + 12)), "white")
    for at, pictures in enumerate(chosen):
        for row, picture in enumerate(pictures):
            sheet.paste(picture, (at % columns * (side + 4), at // columns * (depth * side + 12) + row * side))
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--control", type=Path, default=CONTROL, metavar="DIR")
    parser.add_argument("--questions", type=int, default=QUESTIONS)
    parser.add_argument("--sheet", type=Path, default=Path("controlnet-sheet.png"), metavar="FILE")
    options = parser.parse_args()
    torch.set_num_threads(1)
    report, sheet = evaluate(options.control, number=options.questions)
    print(json.dumps(report, indent=2))
    sheet.save(options.sheet)


if __name__ == "__main__":
    main()
