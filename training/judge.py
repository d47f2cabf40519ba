"""A small classifier, trained on painted pictures only, that says what a picture shows. It measures the model."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from training.painter import paint
from training.recipe import Recipe
from training.words import COLOURS, GROUNDS, OBJECTS, SKIES, Scene, random_scene

FILE = Path(__file__).parent / "judge.safetensors"
SIDE = 64
ALL_PAIRS = tuple((name, colour) for name in OBJECTS for colour in COLOURS)
_NONE = len(COLOURS)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the judge sees: each object it finds with its colour, the sky and the ground."""

    things: dict[str, str]
    sky: str
    ground: str


class Judge(nn.Module):
    """(batch, 3, 64, 64) pixels in [0, 1] -> logits: of each object's colour or its absence, of sky, of ground."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 32, 64, 96, 96)
        layers: list[nn.Module] = []
        for before, after in zip(widths, widths[1:], strict=False):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
        self.features = nn.Sequential(*layers, nn.Conv2d(96, 96, 3, padding=1), nn.ReLU(), nn.Flatten())
        self.objects = nn.Linear(96 * 16, len(OBJECTS) * (_NONE + 1))
        self.sky = nn.Linear(96 * 16, len(SKIES))
        self.ground = nn.Linear(96 * 16, len(GROUNDS))

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        features = self.features(pixels - 0.5)
        return self.objects(features).unflatten(1, (len(OBJECTS), _NONE + 1)), self.sky(features), self.ground(features)

    @torch.no_grad()
    def look(self, pictures: Iterable[Image.Image]) -> list[Verdict]:
        objects, skies, grounds = self(torch.stack([_pixels(picture) for picture in pictures]))
        return [
            Verdict(
                {OBJECTS[at]: COLOURS[row[at, :_NONE].argmax()] for at in (row.argmax(1) != _NONE).nonzero()[:, 0]},
                list(SKIES)[sky.argmax()],
                list(GROUNDS)[ground.argmax()],
            )
            for row, sky, ground in zip(objects, skies, grounds, strict=True)
        ]


def train_judge(recipe: Recipe, tell: Callable[[str], None], batch: int = 64) -> Judge:
    """A judge after `recipe.judge_steps` on freshly painted scenes of all pairs, slightly blurred and noised."""
    torch.manual_seed(recipe.seed)
    random = Random(f"judge {recipe.seed}")
    judge = Judge()
    optimizer = torch.optim.AdamW(judge.parameters(), lr=2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(recipe.judge_steps, 1))
    for step in range(recipe.judge_steps):
        scenes = [random_scene(random, ALL_PAIRS) for _ in range(batch)]
        pictures = [paint(scene, seed=random.randrange(2**31), size=recipe.size) for scene in scenes]
        loss = _loss(judge(_worn(torch.stack([_pixels(picture) for picture in pictures]))), scenes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 50 == 0:
            tell(f"judge step {step}/{recipe.judge_steps} loss {loss.item():.4f}")
    return judge.eval()


def accuracy(judge: Judge, size: int, pictures: int = 400) -> dict[str, float]:
    """The judge's own shares of right answers on painted pictures that it has not seen."""
    random = Random("pictures for measuring the judge")
    scenes = [random_scene(random, ALL_PAIRS) for _ in range(pictures)]
    verdicts = judge.look(paint(scene, seed=10**8 + at, size=size) for at, scene in enumerate(scenes))
    things = [(thing, verdict) for scene, verdict in zip(scenes, verdicts, strict=True) for thing in scene.things]
    seen = [(thing, verdict) for thing, verdict in things if thing.object in verdict.things]
    pairs = list(zip(scenes, verdicts, strict=True))
    return {
        "object": len(seen) / len(things),
        "colour": sum(verdict.things[thing.object] == thing.colour for thing, verdict in seen) / max(len(seen), 1),
        "sky": sum(scene.sky == verdict.sky for scene, verdict in pairs) / pictures,
        "ground": sum(scene.ground == verdict.ground for scene, verdict in pairs) / pictures,
    }


def save_judge(judge: Judge, file: Path = FILE) -> None:
    save_file({name: value.half().contiguous() for name, value in judge.state_dict().items()}, file)


def load_judge(file: Path = FILE) -> Judge:
    judge = Judge()
    judge.load_state_dict({name: value.float() for name, value in load_file(file).items()})
    return judge.eval()


def _pixels(picture: Image.Image) -> torch.Tensor:
    small = picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX)
    return torch.from_numpy(numpy.asarray(small).copy()).permute(2, 0, 1).float() / 255


def _worn(pixels: torch.Tensor) -> torch.Tensor:
    """As a decoder may leave them: some softer, all a little noisy."""
    soft = functional.avg_pool2d(pixels, 3, stride=1, padding=1, count_include_pad=False)
    share = torch.rand(len(pixels), 1, 1, 1) * 0.8
    return pixels + share * (soft - pixels) + 0.02 * torch.randn_like(pixels)


def _loss(logits: tuple[torch.Tensor, torch.Tensor, torch.Tensor], scenes: list[Scene]) -> torch.Tensor:
    objects = torch.full((len(scenes), len(OBJECTS)), _NONE)
    for at, scene in enumerate(scenes):
        for thing in scene.things:
            objects[at, OBJECTS.index(thing.object)] = COLOURS.index(thing.colour)
    skies = torch.tensor([list(SKIES).index(scene.sky) for scene in scenes])
    grounds = torch.tensor([list(GROUNDS).index(scene.ground) for scene in scenes])
    weights = torch.ones(_NONE + 1)
    weights[_NONE] = 0.3
    return (
        3 * functional.cross_entropy(logits[0].flatten(0, 1), objects.flatten(), weights)
        + functional.cross_entropy(logits[1], skies)
        + functional.cross_entropy(logits[2], grounds)
    )
