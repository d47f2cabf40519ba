"""Training of a small motion module for the starter: it learns to draw the frames of an animation together."""

from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy
import torch
from diffusers import AutoencoderKL, MotionAdapter, StableDiffusionPipeline
from PIL import Image
from torch.nn import functional

from pipelines.engine.motion_loading import moving
from training.latents import caption_of, scene_of, to_pixels
from training.learning import Learner, share_of_rate, train
from training.painter import paint
from training.parts import new_scheduler
from training.recipe import Recipe

FRAMES = 16
CLIPS_AT_ONCE = 1
CHUNK = 100
RATE = 6e-4
EMA_DECAY = 0.998
WARM_UP = 100
NOISY = 0.6
"""The power of what times are drawn with: under 1, so that more of them are noisy, where frames are made alike."""


def new_motion(unet) -> MotionAdapter:
    """A motion module for `unet` that moves nothing at first."""
    module = MotionAdapter(
        block_out_channels=unet.config.block_out_channels,
        motion_layers_per_block=unet.config.layers_per_block,
        motion_max_seq_length=FRAMES,
        motion_norm_num_groups=unet.config.norm_num_groups,
    )
    for name, weight in module.named_parameters():
        if ".proj_out." in name:
            torch.nn.init.zeros_(weight)
    return module


def clip_of(index: int, size: int, frames: int = FRAMES) -> list[Image.Image]:
    """Training scene `index` at `frames` moments of its way to and fro."""
    return [paint(scene_of(index), seed=index, size=size, moment=frame / frames) for frame in range(frames)]


@torch.no_grad()
def encode_clips(
    autoencoder: AutoencoderKL, recipe: Recipe, folder: Path, clips: int, tell: Callable[[str], None]
) -> None:
    """Write the latents (means, float16, not yet scaled; clips, frames, 4, side, side) of the first `clips` clips as
    chunks; those that exist are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    for start in range(0, clips, CHUNK):
        file = folder / f"{start:06d}.npy"
        if file.exists():
            continue
        indices = range(start, min(start + CHUNK, clips))
        means = [autoencoder.encode(to_pixels(clip_of(index, recipe.size))).latent_dist.mean for index in indices]
        partial = file.with_suffix(".part")
        with partial.open("wb") as stream:
            numpy.save(stream, torch.stack(means).half().numpy())
        partial.replace(file)
        tell(f"encoded {indices.stop} of {clips} clips")


class MotionBatches:
    """Clips with noise: what step `at` learns from, always the same."""

    def __init__(self, recipe: Recipe, tokenizer, folder: Path, scale: float):
        chunks = [numpy.load(file) for file in sorted(folder.glob("*.npy"))]
        self._clips = torch.from_numpy(numpy.concatenate(chunks)) * scale
        self._recipe = recipe
        self._tokenizer = tokenizer
        self._scheduler = new_scheduler()

    def at(self, step: int) -> dict[str, torch.Tensor]:
        """ "latents" and "target" (clips, 4, frames, side, side), "times", and "tokens" of each clip."""
        random = Random(f"motion {self._recipe.seed} {step}")
        generator = torch.Generator().manual_seed(random.randrange(2**40))
        indices = [random.randrange(len(self._clips)) for _ in range(CLIPS_AT_ONCE)]
        clips = [self._clips[index].roll(random.randrange(FRAMES), 0) for index in indices]
        clean = torch.stack(clips).float().transpose(1, 2)
        noise = torch.randn(clean.shape, generator=generator)
        times = (1000 * torch.rand(len(clean), generator=generator) ** NOISY).long().clamp(max=999)
        noised = self._scheduler.add_noise(clean, noise, times)
        target = self._scheduler.get_velocity(clean, noise, times)
        return {"latents": noised, "times": times, "target": target, "tokens": self._tokens(indices, random)}

    def _tokens(self, indices: list[int], random: Random) -> torch.Tensor:
        dropout = self._recipe.caption_dropout
        captions = ["" if random.random() < dropout else caption_of(scene_of(index), random) for index in indices]
        return self._tokenizer(
            captions, padding="max_length", truncation=True, max_length=self._tokenizer.model_max_length,
            return_tensors="pt",
        ).input_ids  # fmt: skip


class MotionLearner(Learner):
    """A motion module, and the starter that it is for, which stays as it is."""

    def __init__(self, pipeline: StableDiffusionPipeline):
        self.text_encoder = pipeline.text_encoder.requires_grad_(False)
        module = new_motion(pipeline.unet)
        super().__init__(module, RATE, EMA_DECAY)
        self.moved = moving(pipeline.unet.requires_grad_(False), module, "motion")
        module.requires_grad_(True)


def train_motion(
    learner: MotionLearner, batches: MotionBatches, steps: int, checkpoint: Path, tell: Callable[[str], None]
) -> None:
    """Train up to `steps`; `checkpoint` is renewed as it goes, and read first if it is there."""

    def once() -> float:
        loss = _loss(learner, batches.at(learner.step))
        return learner.learn(loss, RATE * share_of_rate(learner.step, steps, WARM_UP))

    train(learner, once, steps, checkpoint, tell)


def _loss(learner: MotionLearner, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """In float32: half precision takes fifteen times as long for so many small attentions and convolutions."""
    with torch.no_grad():
        words = learner.text_encoder(batch["tokens"]).last_hidden_state
    words = words.repeat_interleave(FRAMES, dim=0)
    guess = learner.moved(batch["latents"], batch["times"], words, return_dict=False)[0]
    return functional.mse_loss(guess, batch["target"])
