"""Training of the text encoder and the UNet, together, on cached latents: v-prediction with caption dropout."""

from collections.abc import Callable
from pathlib import Path
from random import Random

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from transformers import CLIPTextModel, CLIPTokenizer

from training.latents import caption_of, load_latents, scene_of
from training.learning import Learner, share_of_rate, train
from training.parts import new_scheduler, new_text_encoder, new_unet
from training.recipe import Recipe

EMA_DECAY = 0.9985
WARM_UP = 200
NEW_LATENTS_STEPS = 250
NOISY, NOISY_SHARE = 400, 0.8
"""Four of five times are drawn where noise outweighs the picture (from time 400 of 1000 on): there the words decide
what is drawn and where; below, a wrong caption makes hardly a difference."""


class DiffusionLearner(Learner):
    """The text encoder and the UNet."""

    def __init__(self, recipe: Recipe, tokenizer: CLIPTokenizer):
        torch.manual_seed(recipe.seed)
        self.tokenizer = tokenizer
        self.text_encoder = new_text_encoder(recipe, tokenizer)
        self.unet = new_unet(recipe).to(memory_format=torch.channels_last)
        self.unet.set_attn_processor(AttnProcessor())  # plain softmax: the fused kernel's backward is slow on CPUs
        models = torch.nn.ModuleDict({"text_encoder": self.text_encoder, "unet": self.unet})
        super().__init__(models, recipe.learning_rate, EMA_DECAY)

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
    learner: DiffusionLearner,
    recipe: Recipe,
    batches: Batches,
    checkpoint: Path,
    tell: Callable[[str], None],
    compiled: bool = True,
) -> None:
    """Train up to `recipe.unet_steps`, from `checkpoint` on if it exists; the checkpoint is renewed as it goes."""
    read, predict = learner.text_encoder, learner.unet
    if compiled:
        read, predict = torch.compile(read), torch.compile(predict)

    def once() -> float:
        loss = _loss(read, predict, batches.at(learner.step))
        return learner.learn(loss, recipe.learning_rate * share_of_rate(learner.step, recipe.unet_steps, WARM_UP))

    train(learner, once, recipe.unet_steps, checkpoint, tell)


def _loss(read: Callable, predict: Callable, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        words = read(batch["tokens"]).last_hidden_state
        latents = batch["latents"].contiguous(memory_format=torch.channels_last)
        guess = predict(latents, batch["times"], words, return_dict=False)[0]
    return torch.nn.functional.mse_loss(guess.float(), batch["target"])
