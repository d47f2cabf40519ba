"""Training of a small ControlNet for the starter: it learns to have things where an outline has them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import numpy
import torch
from diffusers import AutoencoderKL, ControlNetModel, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch.nn import functional
from transformers import CLIPTextModel

from training.diffusion import Batches
from training.latents import CHUNK, to_pixels
from training.learning import Learner, share_of_rate, train
from training.outlines import caption_without_places, is_drawable, outlines, staged
from training.recipe import Recipe

EMBEDDING = (8, 16, 48, 96)
"""Channels of what reads the control picture, each level half as large as the one before: 8x in all, as the VAE."""
RATE = 6e-4
EMA_DECAY = 0.998
WARM_UP = 100
WITHOUT_SCENE, THICK, SOFT = 0.6, 0.35, 0.3
"""Shares of outlines: of the things alone, with lines three pixels wide, and blurred."""


def new_controlnet(unet: UNet2DConditionModel) -> ControlNetModel:
    """The convolutions of the way down through `unet`, with connections back that are zero at first.

    The attention to words is left out: what is drawn stays the UNet's business, and the file has half the size.
    """
    config = unet.config
    control = ControlNetModel(
        in_channels=config.in_channels,
        block_out_channels=config.block_out_channels,
        layers_per_block=config.layers_per_block,
        down_block_types=("DownBlock2D",) * len(config.block_out_channels),
        mid_block_type="UNetMidBlock2D",
        cross_attention_dim=config.cross_attention_dim,
        attention_head_dim=config.attention_head_dim,
        conditioning_embedding_out_channels=EMBEDDING,
    )
    theirs = unet.state_dict()
    shared = {name: theirs[name] for name in control.state_dict() if name in theirs}
    control.load_state_dict(shared, strict=False)
    return control


@torch.no_grad()
def encode_staged(
    autoencoder: AutoencoderKL, recipe: Recipe, folder: Path, scenes: int, tell: Callable[[str], None]
) -> None:
    """Write the latents of the first `scenes` staged scenes as chunks, as `Batches` reads them, and beside each chunk
    their outlines, eight pixels to a byte; chunks that exist are kept."""
    (folder / "lines").mkdir(parents=True, exist_ok=True)
    for start in range(0, scenes, CHUNK):
        file = folder / f"{start:06d}.npy"
        if file.exists():
            continue
        stages = [staged(index) for index in range(start, min(start + CHUNK, scenes))]
        lines = numpy.packbits(numpy.stack([outlines(stage, recipe.size) for stage in stages]), axis=-1)
        numpy.save(folder / "lines" / file.name, lines)
        parts = [
            autoencoder.encode(to_pixels([stage.picture(recipe.size) for stage in stages[at : at + 16]])).latent_dist
            for at in range(0, len(stages), 16)
        ]
        partial = file.with_suffix(".part")
        with partial.open("wb") as stream:
            numpy.save(stream, torch.cat([part.mean for part in parts]).half().numpy())
        partial.replace(file)
        tell(f"encoded {start + len(stages)} of {scenes} scenes")


class ControlBatches(Batches):
    """As `Batches`, of staged scenes, with "control": outlines (batch, 3, side, side) in [0, 1]."""

    def __init__(self, recipe: Recipe, tokenizer, folder: Path, scale: float):
        super().__init__(replace(recipe, scenes=0), tokenizer, folder, scale)  # all latents are there: none come later
        lines = numpy.concatenate([numpy.load(file) for file in sorted((folder / "lines").glob("*.npy"))])
        self._pool = [index for index in range(len(lines)) if is_drawable(staged(index))]
        self._latents, self._lines = self._latents[self._pool], lines[self._pool]

    def at(self, step: int) -> dict[str, torch.Tensor]:
        batch = super().at(step)
        random = Random(f"{self._recipe.seed} {step}")
        random.randrange(2**40)  # as the base draws them
        indices = [random.randrange(len(self._latents)) for _ in range(self._recipe.unet_batch)]
        return {**batch, "control": self._control(indices, Random(f"control {self._recipe.seed} {step}"))}

    def _control(self, indices: list[int], random: Random) -> torch.Tensor:
        chosen = [self._lines[index, int(random.random() < WITHOUT_SCENE)] for index in indices]
        lines = torch.from_numpy(numpy.unpackbits(numpy.stack(chosen), axis=-1)).float()[:, None]
        return torch.cat([_worn(line[None], random) for line in lines]).expand(-1, 3, -1, -1)

    def _caption(self, index: int, random: Random) -> str:
        return caption_without_places(staged(self._pool[index]).scene, random)


def _worn(line: torch.Tensor, random: Random) -> torch.Tensor:
    """One outline (1, 1, side, side) as people and detectors have it: thin or thick, sharp or soft."""
    if random.random() < THICK:
        line = functional.max_pool2d(line, 3, stride=1, padding=1)
    if random.random() < SOFT:
        line = functional.avg_pool2d(line, 3, stride=1, padding=1) * 2
    return line.clamp(max=1)


@dataclass(frozen=True, slots=True)
class Frozen:
    """What of the starter is read and never changed."""

    text_encoder: CLIPTextModel
    unet: UNet2DConditionModel


class ControlLearner(Learner):
    """The ControlNet, beside the starter that it is for."""

    def __init__(self, pipeline: StableDiffusionPipeline):
        self.frozen = Frozen(
            pipeline.text_encoder.requires_grad_(False),
            pipeline.unet.requires_grad_(False).to(memory_format=torch.channels_last),
        )
        self.frozen.unet.set_attn_processor(AttnProcessor())
        self.control = new_controlnet(pipeline.unet).to(memory_format=torch.channels_last)
        super().__init__(self.control, RATE, EMA_DECAY)

    def start_from(self, folder: Path) -> None:
        """The weights of an exported ControlNet instead of untrained ones."""
        state = ControlNetModel.from_pretrained(folder).state_dict()
        self.control.load_state_dict(state)
        self.averaged.load_state_dict(state)


def train_control(
    learner: ControlLearner,
    batches: ControlBatches,
    steps: int,
    checkpoint: Path,
    tell: Callable[[str], None],
    compiled: bool = True,
) -> None:
    """Train up to `steps`; `checkpoint` is renewed as it goes, and read first if it is there."""
    guess = torch.compile(_guess) if compiled else _guess

    def once() -> float:
        loss = _loss(learner, guess, batches.at(learner.step))
        return learner.learn(loss, RATE * share_of_rate(learner.step, steps, WARM_UP))

    train(learner, once, steps, checkpoint, tell)


def _loss(learner: ControlLearner, guess: Callable[..., torch.Tensor], batch: dict[str, torch.Tensor]) -> torch.Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with torch.no_grad():
            words = learner.frozen.text_encoder(batch["tokens"]).last_hidden_state
        latents = batch["latents"].contiguous(memory_format=torch.channels_last)
        seen = guess(learner.control, learner.frozen.unet, latents, batch["times"], words, batch["control"])
    return functional.mse_loss(seen.float(), batch["target"])


def _guess(
    control: ControlNetModel,
    unet: UNet2DConditionModel,
    latents: torch.Tensor,
    times: torch.Tensor,
    words: torch.Tensor,
    picture: torch.Tensor,
) -> torch.Tensor:
    down, middle = control(latents, times, words, controlnet_cond=picture, return_dict=False)
    return unet(
        latents,
        times,
        words,
        down_block_additional_residuals=down,
        mid_block_additional_residual=middle,
        return_dict=False,
    )[0]
