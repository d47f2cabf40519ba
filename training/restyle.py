"""A starter model taught another look: all of its UNet, or a LoRA on it. Its other parts stay as they are."""

import copy
import math
from collections.abc import Callable
from pathlib import Path

import numpy
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from diffusers.utils import convert_state_dict_to_kohya
from peft import LoraConfig, get_peft_model_state_dict
from PIL import Image
from safetensors.torch import save_file
from transformers import CLIPTextModel

from training.diffusion import Batches
from training.latents import scene_of, to_pixels
from training.painter import paint
from training.recipe import Recipe

RANK = 16
EMA_DECAY = 0.99
LORA_LAYERS = ("conv1", "conv2", "conv_shortcut", "proj_in", "proj_out", "to_q", "to_k", "to_v", "to_out.0")
CHECKPOINT_RATE, LORA_RATE = 2e-4, 1e-3

Style = Callable[[Image.Image], Image.Image]


@torch.no_grad()
def encode_styled(autoencoder: AutoencoderKL, style: Style, recipe: Recipe, folder: Path, scenes: int) -> None:
    """Write the latents of the first `scenes` scenes in `style` as one chunk, as `Batches` reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for start in range(0, scenes, 16):
        indices = range(start, min(start + 16, scenes))
        parts.append(autoencoder.encode(styled_pixels(style, indices, recipe.size)).latent_dist.mean)
    with (folder / "000000.npy").open("wb") as stream:
        numpy.save(stream, torch.cat(parts).half().numpy())


def styled_pixels(style: Style, indices: range, size: int) -> torch.Tensor:
    """Painted scenes in `style` as (number, 3, size, size) in [-1, 1]."""
    return to_pixels([style(paint(scene_of(index), seed=index, size=size)) for index in indices])


def add_lora(unet: UNet2DConditionModel) -> None:
    """Freeze `unet` and give it untrained adapters of rank `RANK` on its convolutions and attention."""
    unet.requires_grad_(False)
    unet.add_adapter(
        LoraConfig(r=RANK, lora_alpha=RANK, target_modules=list(LORA_LAYERS), init_lora_weights="gaussian")
    )


def train_style(
    unet: UNet2DConditionModel,
    text_encoder: CLIPTextModel,
    batches: Batches,
    steps: int,
    rate: float,
    tell: Callable[[str], None],
) -> None:
    """Train what of `unet` requires a gradient for `steps`; its weights are then the average of the last ones."""
    unet.to(memory_format=torch.channels_last).set_attn_processor(AttnProcessor())
    learning = [parameter for parameter in unet.parameters() if parameter.requires_grad]
    averaged = [copy.deepcopy(parameter.data) for parameter in learning]
    optimizer = torch.optim.AdamW(learning, lr=rate, betas=(0.9, 0.99), fused=True)
    losses = []
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = (
                rate * min(1.0, (step + 1) / 50) * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / steps)))
            )
        losses.append(_train_step(unet, text_encoder, optimizer, learning, batches.at(step)))
        decay = min(EMA_DECAY, (1 + step) / (10 + step))
        for mean, parameter in zip(averaged, learning, strict=True):
            mean.lerp_(parameter.data, 1 - decay)
        if step % 50 == 49:
            tell(f"step {step + 1}/{steps} loss {sum(losses) / len(losses):.4f}")
            losses.clear()
    for mean, parameter in zip(averaged, learning, strict=True):
        parameter.data.copy_(mean)


def save_lora(unet: UNet2DConditionModel, file: Path, metadata: dict[str, str]) -> None:
    """The adapters of `unet` in kohya's spelling, float16."""
    state = {f"unet.{name}": value for name, value in get_peft_model_state_dict(unet, adapter_name="default").items()}
    weights = convert_state_dict_to_kohya(state)
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.half().contiguous() for name, value in weights.items()}, file, metadata)


def _train_step(unet, text_encoder, optimizer, learning, batch: dict[str, torch.Tensor]) -> float:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with torch.no_grad():
            words = text_encoder(batch["tokens"]).last_hidden_state
        latents = batch["latents"].contiguous(memory_format=torch.channels_last)
        guess = unet(latents, batch["times"], words, return_dict=False)[0]
    loss = torch.nn.functional.mse_loss(guess.float(), batch["target"])
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(learning, 1.0)
    optimizer.step()
    return loss.item()
