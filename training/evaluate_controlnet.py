"""Does the starter draw things where an outline has them? `python -m training.evaluate_controlnet [--control DIR]`.

100 outlines of an object, alone and anywhere, each with a prompt that tells no place. A picture is
right if the classifier of painted pictures sees the object in what lies inside of its frame, and most of the outline's
lines are edges of the picture. The same is asked of pictures without control, and of painted ones, right and moved, to
measure the measure. Prints JSON and writes a contact sheet: outline, with control, without.
"""

import argparse
import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import cv2
import numpy
import torch
from diffusers import ControlNetModel, StableDiffusionPipeline
from PIL import Image

from pipelines.control import Followed, following
from pipelines.controlnet import as_numbers
from pipelines.engine.catalog import STARTER
from presets.controlnet import ControlUnit
from training.evaluate import GUIDANCE, STEPS, open_model
from training.judge import FILE, Judge, load_judge
from training.make_controlnet import NAME
from training.make_styles import EXTRAS
from training.outlines import Staged, anywhere, caption_without_places, outline_of
from training.painter import Frame, paint, usual_frame
from training.words import Scene, Thing, pairs_for_training, random_scene

CONTROL = EXTRAS / "controlnets" / NAME
QUESTIONS = 100
SIZES = (0.8, 1.0)
"""Of the things, as shares of what is usual: as large as the starter draws them, but anywhere."""
PAD = 0.04
"""Around a frame, as a share of the picture, what counts as inside of it."""
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


def draw(pipeline: StableDiffusionPipeline, asked: Question, seed: int, control: ControlNetModel | None) -> Image.Image:
    """The picture of `asked`, by the program's own way of following its outline, or without `control`."""
    size = pipeline.unet.config.sample_size * 8
    generator = torch.Generator().manual_seed(seed)
    outline = as_numbers(outline_of(asked.stage, size))
    follows = following(pipeline, [Followed(ControlUnit(), control, outline)]) if control else nullcontext()
    with follows:
        return pipeline(asked.prompt, num_inference_steps=STEPS, guidance_scale=GUIDANCE, generator=generator).images[0]


def seen_in_frame(judge: Judge, picture: Image.Image, stage: Staged) -> str | None:
    """The colour of the stage's one thing as the classifier sees it in its frame; None where it does not see it.

    What lies inside of the frame is brought to where such a thing usually is, on the painted background.
    """
    scene, (frame,) = stage.scene, stage.frames
    thing = replace(scene.things[0], place="middle")
    usual = usual_frame(replace(scene, things=(thing,)), thing)
    side = picture.width
    background = paint(replace(scene, things=()), seed=stage.seed, size=side)
    scale = (usual[3] - usual[1]) / (frame[3] - frame[1])
    left, top, right, bottom = _padded(frame)
    inside = picture.crop(tuple(round(edge * side) for edge in (left, top, right, bottom)))
    inside = inside.resize((round(inside.width * scale), round(inside.height * scale)), Image.Resampling.BICUBIC)
    corner = (usual[0] - (frame[0] - left) * scale, usual[1] - (frame[1] - top) * scale)
    background.paste(inside, (round(corner[0] * side), round(corner[1] * side)))
    return judge.look([background])[0].things.get(thing.object)


def _padded(frame: Frame) -> Frame:
    left, top, right, bottom = frame
    return max(0.0, left - PAD), max(0.0, top - PAD), min(1.0, right + PAD), min(1.0, bottom + PAD)


def agreement(picture: Image.Image, outline: Image.Image) -> float:
    """The share of the outline's pixels that lie near an edge of the picture."""
    lines = numpy.asarray(outline.convert("L")) > 127
    edges = cv2.Canny(numpy.asarray(picture.convert("RGB")), 40, 80)
    near = cv2.dilate(edges, numpy.ones((2 * NEAR + 1, 2 * NEAR + 1), numpy.uint8)) > 0
    return float(near[lines].mean())


def is_there(judge: Judge, picture: Image.Image, stage: Staged) -> bool:
    """Whether `picture` shows the stage's one thing in its frame."""
    outline = outline_of(stage, picture.width)
    return seen_in_frame(judge, picture, stage) is not None and agreement(picture, outline) >= AGREEMENT


def share(judge: Judge, pictures: Sequence[Image.Image], stages: Sequence[Staged]) -> float:
    there = [is_there(judge, picture, stage) for picture, stage in zip(pictures, stages, strict=True)]
    return round(sum(there) / len(there), 4)


def colour_share(judge: Judge, pictures: Sequence[Image.Image], asked: Sequence[Question]) -> float:
    """Of the things seen in their frames, those in the colour that the prompt names."""
    seen = [
        (question.thing.colour, colour)
        for question, picture in zip(asked, pictures, strict=True)
        if (colour := seen_in_frame(judge, picture, question.stage))
    ]
    return round(sum(wanted == colour for wanted, colour in seen) / max(len(seen), 1), 4)


def evaluate(control: Path, model: Path = STARTER, number: int = QUESTIONS) -> tuple[dict[str, float], Image.Image]:
    """Shares of pictures that show the thing where its outline is, and a sheet of some of them."""
    pipeline, judge, asked = open_model(model), load_judge(FILE), questions(number)
    follower = ControlNetModel.from_pretrained(control)
    stages = [question.stage for question in asked]
    size = pipeline.unet.config.sample_size * 8
    drawn = {
        name: [draw(pipeline, question, seed, model) for seed, question in enumerate(asked)]
        for name, model in (("with control", follower), ("without control", None))
    }
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
