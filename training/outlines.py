"""Scenes whose things stand anywhere, and their outlines, white on black: what a ControlNet learns to follow."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import cv2
import numpy
from PIL import Image

from training.painter import Frame, paint, paint_alone, usual_frame
from training.shapes import KINDS
from training.words import Scene, Thing, describe, pairs_for_training, random_scene

USUAL_SHARE = 0.25
"""Of the scenes, how many have their things where the starter learnt them."""
EDGE = 0.03
"""What stays free at the picture's sides, as a share of them."""


@dataclass(frozen=True, slots=True)
class Staged:
    """A scene with a frame for each of its things, and the painter's seed."""

    scene: Scene
    frames: tuple[Frame, ...]
    seed: int

    def picture(self, size: int) -> Image.Image:
        return paint(self.scene, seed=self.seed, size=size, frames=self.frames)


def staged(index: int) -> Staged:
    """Training scene `index`, always the same."""
    random = Random(f"staged scene {index}")
    scene = random_scene(random, pairs_for_training())
    usual = random.random() < USUAL_SHARE
    frames = [usual_frame(scene, thing) if usual else anywhere(random, scene, thing) for thing in scene.things]
    return Staged(scene, tuple(frames), index)


def anywhere(random: Random, scene: Scene, thing: Thing, sizes: tuple[float, float] = (0.6, 1.1)) -> Frame:
    """A frame for `thing`: as large as usual times a number within `sizes`; of two things each stays in its half."""
    left, top, right, bottom = usual_frame(scene, thing)
    scale = random.uniform(*sizes)
    width, height = (right - left) * scale, (bottom - top) * scale
    low, high = EDGE, 1 - EDGE
    if len(scene.things) > 1:
        low, high = (low, 0.52) if thing.place == "left" else (0.48, high)
    shrink = min(1.0, (high - low) / width, (1 - 2 * EDGE) / height)
    width, height = width * shrink, height * shrink
    x = random.uniform(low, high - width)
    y = random.uniform(EDGE, 0.35) if KINDS[thing.object].home == "air" else random.uniform(0.72, 1 - EDGE) - height
    y = min(max(y, EDGE), 1 - EDGE - height)
    return x, y, x + width, y + height


def is_drawable(stage: Staged, least: float = 0.75) -> bool:
    """Whether no thing of `stage` is under `least` of its usual size: the starter's latents hold no more detail."""
    pairs = zip(stage.scene.things, stage.frames, strict=True)
    return all(_height(frame) >= least * _height(usual_frame(stage.scene, thing)) for thing, frame in pairs)


def _height(frame: Frame) -> float:
    return frame[3] - frame[1]


def outlines(stage: Staged, size: int) -> numpy.ndarray:
    """Booleans (2, size, size): the lines of the whole picture, and those of its things alone."""
    random = Random(f"lines {stage.seed}")
    alone = paint_alone(stage.scene, seed=stage.seed, size=size, frames=stage.frames)
    return numpy.stack([_lines(stage.picture(size), random), _lines(alone, random)])


def _lines(picture: Image.Image, random: Random) -> numpy.ndarray:
    low = random.uniform(40, 110)
    return cv2.Canny(numpy.asarray(picture), low, low * 2) > 0


def outline_of(stage: Staged, size: int) -> Image.Image:
    """The lines of the things of `stage` alone as a control picture: as Canny's detector gives them."""
    alone = paint_alone(stage.scene, seed=stage.seed, size=size, frames=stage.frames)
    return Image.fromarray(cv2.Canny(numpy.asarray(alone), 75, 150)).convert("RGB")


def caption_without_places(scene: Scene, random: Random) -> str:
    """A caption that is true of the whole scene and tells no place: that is for the outline to say."""
    while True:
        sample = describe(random, scene)
        if sample.scene == scene and not tells_place(sample.caption):
            return sample.caption


def tells_place(caption: str, words: Sequence[str] = ("left", "right", "middle", "centre")) -> bool:
    return any(word in caption.split() for word in words)
