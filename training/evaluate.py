"""How well does the starter draw what it is asked? `python -m training.evaluate [--model DIR] [--sheet FILE]`.

300 prompts, 100 of which ask for an object in a colour that training never showed together. A small classifier that
knows painted pictures only judges; its own accuracy is printed beside. Prints JSON and writes a contact sheet.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
from diffusers import StableDiffusionPipeline
from PIL import Image, ImageDraw, ImageFont

from pipelines.engine import samplers
from pipelines.engine.catalog import STARTER
from presets.requests import TextToImage
from training.judge import FILE, Verdict, accuracy, load_judge
from training.words import Scene, Thing, describe, held_out, pairs_for_training, random_scene

SEEN, UNSEEN = 200, 100
STEPS, GUIDANCE = (TextToImage.model_fields[name].default for name in ("steps", "guidance_scale"))
BATCH = 20


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt with what it asks for. Of an unseen combination only that one thing counts."""

    prompt: str
    scene: Scene
    asked: tuple[Thing, ...]
    unseen: bool


def questions(seen: int = SEEN, unseen: int = UNSEEN) -> list[Question]:
    """Always the same ones. Every prompt names sky and ground."""
    random = Random("questions for the starter")
    pairs, hidden = pairs_for_training(), tuple(sorted(held_out()))
    asked = []
    for number in range(seen + unseen):
        scene = random_scene(random, pairs)
        if number >= seen:
            thing = Thing(*random.choice(hidden), scene.things[0].place)
            others = tuple(other for other in scene.things[1:] if other.object != thing.object)
            scene = Scene((thing, *others), scene.sky, scene.ground, scene.extras)
        judged = scene.things if number < seen else scene.things[:1]
        asked.append(Question(_prompt(random, scene), scene, judged, number >= seen))
    return asked


def _prompt(random: Random, scene: Scene) -> str:
    while not {scene.sky, scene.ground} <= (sample := describe(random, scene)).named:
        pass
    return sample.caption


def open_model(folder: Path) -> StableDiffusionPipeline:
    """The model of `folder` with Easel's usual sampler, so that what is measured is what people see."""
    pipeline = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None, feature_extractor=None)
    pipeline.scheduler = samplers.build("DPM++ 2M", "automatic", pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def draw(pipeline: StableDiffusionPipeline, prompts: Sequence[str]) -> Iterator[Image.Image]:
    """One picture for each prompt; the seed is the prompt's number."""
    for start in range(0, len(prompts), BATCH):
        some = list(prompts[start : start + BATCH])
        generators = [torch.Generator().manual_seed(start + at) for at in range(len(some))]
        yield from pipeline(some, num_inference_steps=STEPS, guidance_scale=GUIDANCE, generator=generators).images


def score(asked: Sequence[Question], verdicts: Sequence[Verdict]) -> dict[str, float]:
    """Shares of right answers: of things, the object; of found objects, the colour; of pictures, sky and ground."""
    pairs = list(zip(asked, verdicts, strict=True))
    things = [(thing, verdict) for question, verdict in pairs for thing in question.asked]
    found = [(thing, verdict) for thing, verdict in things if thing.object in verdict.things]
    right = sum(verdict.things[thing.object] == thing.colour for thing, verdict in found)
    shares = {
        "object": len(found) / max(len(things), 1),
        "colour": right / max(len(found), 1),
        "sky": sum(question.scene.sky == verdict.sky for question, verdict in pairs) / max(len(pairs), 1),
        "ground": sum(question.scene.ground == verdict.ground for question, verdict in pairs) / max(len(pairs), 1),
    }
    return {name: round(share, 4) for name, share in shares.items()}


def sheet(pictures: Sequence[Image.Image], prompts: Sequence[str], columns: int = 8) -> Image.Image:
    """The pictures in rows, each over its prompt."""
    side, line = pictures[0].width, 11
    cell = (side + 8, side + 3 * line + 6)
    rows = -(-len(pictures) // columns)
    canvas = Image.new("RGB", (columns * cell[0], rows * cell[1]), "white")
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=10)
    for at, (picture, prompt) in enumerate(zip(pictures, prompts, strict=True)):
        left, top = (at % columns) * cell[0] + 4, (at // columns) * cell[1] + 4
        canvas.paste(picture, (left, top))
        for number, words in enumerate(_wrapped(prompt, font, side)[:3]):
            pen.text((left, top + side + number * line), words, fill="black", font=font)
    return canvas


def _wrapped(text: str, font, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) > width and lines[-1]:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=STARTER, metavar="DIR")
    parser.add_argument("--judge", type=Path, default=FILE, metavar="FILE")
    parser.add_argument("--sheet", type=Path, default=Path("starter-sheet.png"), metavar="FILE")
    parser.add_argument("--prompts", type=int, default=SEEN + UNSEEN, help="fewer, for a quick look")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    report, drawn = evaluate(options.model, options.judge, options.prompts)
    print(json.dumps(report, indent=2))
    drawn.save(options.sheet)


def evaluate(model: Path, judge_file: Path, prompts: int) -> tuple[dict[str, dict[str, float]], Image.Image]:
    """Shares of right answers by kind of prompt (a third of them unseen combinations), and a sheet of pictures."""
    pipeline = open_model(model)
    asked = questions(prompts - prompts // 3, prompts // 3)
    pictures = list(draw(pipeline, [question.prompt for question in asked]))
    judge = load_judge(judge_file)
    verdicts = judge.look(pictures)
    report = {"judge on painted pictures": accuracy(judge, pipeline.unet.config.sample_size * 8)}
    for name, kind in (("seen combinations", False), ("unseen combinations", True)):
        some = [
            (question, verdict) for question, verdict in zip(asked, verdicts, strict=True) if question.unseen == kind
        ]
        report[name] = score([question for question, _ in some], [verdict for _, verdict in some])
    report["all"] = score(asked, verdicts)
    chosen = list(range(0, len(asked), max(1, len(asked) // 48)))[:48]
    return report, sheet([pictures[at] for at in chosen], [asked[at].prompt for at in chosen])


if __name__ == "__main__":
    main()
