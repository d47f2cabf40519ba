"""A small classifier, trained on painted pictures only, that says what stands in a frame of a picture:
`python -m training.frame_judge [--steps N]`. It measures ControlNets.

The judge of whole pictures (training/judge.py) knows things only where the starter has them; what is brought there from
elsewhere lies on a patch of another background, which it has never seen.
"""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import numpy
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from training.judge import ALL_PAIRS
from training.outlines import anywhere
from training.painter import Frame, paint
from training.words import COLOURS, OBJECTS, Scene, random_scene

FILE = Path(__file__).parent / "frame_judge.safetensors"
SIDE = 48
PAD = 0.04
"""Around a frame, as a share of the picture, what counts as inside of it."""
STEPS, BATCH = 1200, 64
EMPTY = 0.25
"""Share of the frames that hold nothing, or something only by a part of it."""
PART = 0.4
"""Of a frame, how much another may have in common with it and still hold nothing."""
SIZES = (0.7, 1.1)
_NOTHING = len(OBJECTS)


@dataclass(frozen=True, slots=True)
class Seen:
    """What stands in a frame; the object is None where there is none."""

    object: str | None
    colour: str


class FrameJudge(nn.Module):
    """(batch, 3, SIDE, SIDE) pixels in [0, 1] of frames -> logits of each object or nothing, and of its colour."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 32, 64, 96)
        layers: list[nn.Module] = []
        for before, after in zip(widths, widths[1:], strict=False):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
        self.features = nn.Sequential(*layers, nn.Conv2d(96, 64, 3, padding=1), nn.ReLU(), nn.Flatten())
        inner = 64 * (SIDE // 8) ** 2
        self.objects = nn.Linear(inner, _NOTHING + 1)
        self.colours = nn.Linear(inner, len(COLOURS))

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.features(pixels - 0.5)
        return self.objects(features), self.colours(features)

    @torch.no_grad()
    def look(self, picture: Image.Image, frame: Frame) -> Seen:
        """What stands in `frame`, whose sides are shares of the picture's."""
        objects, colours = self(inside(picture, frame)[None])
        at = int(objects.argmax())
        return Seen(None if at == _NOTHING else OBJECTS[at], COLOURS[int(colours.argmax())])


def inside(picture: Image.Image, frame: Frame) -> torch.Tensor:
    """The pixels (3, SIDE, SIDE) of a frame and a little around it, stretched to a square: what stands in it must be
    told by what it is, not by the frame's shape."""
    left, top, right, bottom = frame
    edges = max(0.0, left - PAD), max(0.0, top - PAD), min(1.0, right + PAD), min(1.0, bottom + PAD)
    box = tuple(edge * side for edge, side in zip(edges, (picture.width, picture.height) * 2, strict=True))
    small = picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=box)
    return torch.from_numpy(numpy.asarray(small).copy()).permute(2, 0, 1).float() / 255


def train_frame_judge(steps: int = STEPS, batch: int = BATCH, seed: int = 20_261_123) -> FrameJudge:
    """A judge after so many steps on freshly painted things anywhere, blurred and noised."""
    torch.manual_seed(seed)
    random = Random(f"frame judge {seed}")
    judge = FrameJudge()
    optimizer = torch.optim.AdamW(judge.parameters(), lr=2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(steps, 1))
    for step in range(steps):
        pixels, objects, colours = zip(*(_sample(random) for _ in range(batch)), strict=True)
        loss = _loss(judge(_worn(torch.stack(pixels))), torch.tensor(objects), torch.tensor(colours))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 0:
            print(f"frame judge step {step}/{steps} loss {loss.item():.4f}", flush=True)
    return judge.eval()


def _sample(random: Random) -> tuple[torch.Tensor, int, int]:
    """The pixels of a frame, its object's number and its colour's; no object in `EMPTY` of them."""
    scene = random_scene(random, ALL_PAIRS)
    scene = Scene(scene.things[:1], scene.sky, scene.ground, scene.extras)
    thing = scene.things[0]
    frame, seed = anywhere(random, scene, thing, SIZES), random.randrange(2**31)
    colour = COLOURS.index(thing.colour)
    if random.random() >= EMPTY:
        return inside(paint(scene, seed=seed, size=128, frames=(frame,)), frame), OBJECTS.index(thing.object), colour
    other = anywhere(random, scene, thing, SIZES)
    if _common(frame, other) > PART:
        return inside(paint(replace(scene, things=()), seed=seed, size=128), frame), _NOTHING, colour
    return inside(paint(scene, seed=seed, size=128, frames=(other,)), frame), _NOTHING, colour


def _common(frame: Frame, other: Frame) -> float:
    """The share of `frame` that lies in `other`."""
    width = min(frame[2], other[2]) - max(frame[0], other[0])
    height = min(frame[3], other[3]) - max(frame[1], other[1])
    return max(0.0, width) * max(0.0, height) / ((frame[2] - frame[0]) * (frame[3] - frame[1]))


def _worn(pixels: torch.Tensor) -> torch.Tensor:
    """As a small model may paint them: softer, and a little noisy."""
    soft = functional.avg_pool2d(pixels, 3, stride=1, padding=1, count_include_pad=False)
    softer = functional.avg_pool2d(soft, 3, stride=1, padding=1, count_include_pad=False)
    worn = torch.where(torch.rand(len(pixels), 1, 1, 1) < 0.5, soft, softer)
    pixels = worn.lerp(pixels, torch.rand(len(pixels), 1, 1, 1))
    return pixels + 0.03 * torch.randn_like(pixels)


def _loss(logits: tuple[torch.Tensor, torch.Tensor], objects: torch.Tensor, colours: torch.Tensor) -> torch.Tensor:
    there = objects != _NOTHING
    of_colours = functional.cross_entropy(logits[1][there], colours[there])
    return functional.cross_entropy(logits[0], objects) + 0.5 * of_colours


def save_frame_judge(judge: FrameJudge, file: Path = FILE) -> None:
    save_file({name: value.half().contiguous() for name, value in judge.state_dict().items()}, file)


def load_frame_judge(file: Path = FILE) -> FrameJudge:
    judge = FrameJudge()
    judge.load_state_dict({name: value.float() for name, value in load_file(file).items()})
    return judge.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=STEPS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    save_frame_judge(train_frame_judge(options.steps))


if __name__ == "__main__":
    main()
