"""Training of the text encoder and the UNet, together, on cached latents: v-prediction with caption dropout."""

import copy
import math
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from transformers import CLIPTextModel, CLIPTokenizer

from training.latents import caption_of, load_latents, scene_of
from training.parts import new_scheduler, new_text_encoder, new_unet
from training.recipe import Recipe

EMA_DECAY = 0.9985
CHECKPOINT_SECONDS = 240
NEW_LATENTS_STEPS = 250
NOISY, NOISY_SHARE = 400, 0.8
"""Four of five times are drawn where noise outweighs the picture (from time 400 of 1000 on): there the words decide
what is drawn and where; below, a wrong caption makes hardly a difference."""


class Learner:
    """The models, their averaged copies and the optimizer: all that a checkpoint holds."""

    def __init__(self, recipe: Recipe, tokenizer: CLIPTokenizer):
        torch.manual_seed(recipe.seed)
        self.tokenizer = tokenizer
        self.text_encoder = new_text_encoder(recipe, tokenizer)
        self.unet = new_unet(recipe).to(memory_format=torch.channels_last)
        self.unet.set_attn_processor(AttnProcessor())  # plain softmax: the fused kernel's backward is slow on CPUs
        self.models = torch.nn.ModuleDict({"text_encoder": self.text_encoder, "unet": self.unet})
        self.averaged = copy.deepcopy(self.models).requires_grad_(False)
        self.optimizer = torch.optim.AdamW(
            self.models.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.99), weight_decay=0.01, fused=True
        )
        self.step = 0

    def average(self) -> None:
        """Move the averaged weights towards the present ones; faster in the beginning."""
        decay = min(EMA_DECAY, (1 + self.step) / (10 + self.step))
        for mean, present in zip(self.averaged.parameters(), self.models.parameters(), strict=True):
            mean.lerp_(present.detach(), 1 - decay)

    def save(self, file: Path) -> None:
        state = {
            "step": self.step,
            "models": self.models.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        partial = file.with_suffix(".part")
        torch.save(state, partial)
        partial.replace(file)

    def load(self, file: Path) -> None:
        state = torch.load(file, weights_only=True)
        self.step = state["step"]
        self.models.load_state_dict(state["models"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])

    def shipped(self) -> tuple[CLIPTextModel, UNet2DConditionModel]:
        """The averaged text encoder and UNet."""
        return self.averaged["text_encoder"], self.averaged["unet"]


class Batches:
    """Noised latents with what the UNet should say of them, a function of the step alone, so that a resumed run
    goes on as if it had not been stopped (but for latents that were encoded meanwhile)."""

    def __init__(self, recipe: Recipe, tokenizer: CLIPTokenizer, folder: Path, scale: float):
        self._recipe, self._tokenizer, self._folder, self._scale = recipe, tokenizer, folder, scale
        self._scheduler = new_scheduler()
        self._latents = load_latents(folder)

    def at(self, step: int) -> dict[str, torch.Tensor]:
        if step % NEW_LATENTS_STEPS == 0 and len(self._latents) < self._recipe.scenes:
            self._latents = load_latents(self._folder)
        random = Random(f"{self._recipe.seed} {step}")
        generator = torch.Generator().manual_seed(random.randrange(2**40))
        indices = [random.randrange(len(self._latents)) for _ in range(self._recipe.unet_batch)]
        clean = self._latents[indices] * self._scale
        noise = torch.randn(clean.shape, generator=generator)
        times = self._times(generator)
        noised = self._scheduler.add_noise(clean, noise, times)
        target = self._scheduler.get_velocity(clean, noise, times)
        return {"latents": noised, "times": times, "target": target, "tokens": self._tokens(indices, random)}

    def _times(self, generator: torch.Generator) -> torch.Tensor:
        """One time in each of `batch` equally probable stretches: less noisy gradients than free draws."""
        batch = self._recipe.unet_batch
        strata = (torch.arange(batch) + torch.rand(batch, generator=generator)) / batch
        clear = 1 - NOISY_SHARE
        times = torch.where(
            strata < clear, strata / clear * NOISY, NOISY + (strata - clear) / NOISY_SHARE * (1000 - NOISY)
        )
        return times.long().clamp(max=999)[torch.randperm(batch, generator=generator)]

    def _tokens(self, indices: list[int], random: Random) -> torch.Tensor:
        captions = [
            "" if random.random() < self._recipe.caption_dropout else self._caption(index, random) for index in indices
        ]
        return self._tokenizer(
            captions, padding="max_length", truncation=True, max_length=self._tokenizer.model_max_length,
            return_tensors="pt",
        ).input_ids  # fmt: skip

    def _caption(self, index: int, random: Random) -> str:
        return caption_of(scene_of(index), random)


def train_diffusion(
    learner: Learner,
    recipe: Recipe,
    batches: Batches,
    checkpoint: Path,
    tell: Callable[[str], None],
    compiled: bool = True,
) -> None:
    """Train up to `recipe.unet_steps`, from `checkpoint` on if it exists; the checkpoint is renewed as it goes."""
    if checkpoint.exists():
        learner.load(checkpoint)
        tell(f"resumed at step {learner.step}")
    read, predict = learner.text_encoder, learner.unet
    if compiled:
        read, predict = torch.compile(read), torch.compile(predict)
    began, saved, losses = time.monotonic(), time.monotonic(), []
    first = learner.step
    while learner.step < recipe.unet_steps:
        losses.append(_train_step(learner, recipe, read, predict, batches.at(learner.step)))
        if learner.step % 50 == 0:
            pace = (time.monotonic() - began) / (learner.step - first)
            tell(f"step {learner.step}/{recipe.unet_steps} loss {sum(losses) / len(losses):.4f} {pace:.3f} s/step")
            losses.clear()
        if time.monotonic() - saved > CHECKPOINT_SECONDS:
            learner.save(checkpoint)
            saved = time.monotonic()
    learner.save(checkpoint)


def _train_step(
    learner: Learner, recipe: Recipe, read: Callable, predict: Callable, batch: dict[str, torch.Tensor]
) -> float:
    rate = recipe.learning_rate * _share_of_rate(learner.step, recipe.unet_steps)
    for group in learner.optimizer.param_groups:
        group["lr"] = rate
    with torch.autocast("cpu", dtype=torch.bfloat16):
        words = read(batch["tokens"]).last_hidden_state
        latents = batch["latents"].contiguous(memory_format=torch.channels_last)
        guess = predict(latents, batch["times"], words, return_dict=False)[0]
    loss = torch.nn.functional.mse_loss(guess.float(), batch["target"])
    learner.optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(learner.models.parameters(), 1.0)
    learner.optimizer.step()
    learner.step += 1
    learner.average()
    return loss.item()


def _share_of_rate(step: int, steps: int) -> float:
    """Linear warm-up over 200 steps, then a half cosine down to a fiftieth."""
    return min(1.0, (step + 1) / 200) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps)))
