"""Prompts for the families that read them with T5 beside CLIP, as diffusers encodes them.

Weights and BREAK are A1111's and mean nothing to T5: the words are read as plain text, and `warnings_of` says so.
"""

from typing import Any

import torch

from presets import prompts

T5_TOKENS = {"StableDiffusion3": 256, "Flux": 512}
"""Beginning of a pipeline's class -> tokens that its T5 reads, diffusers' defaults."""


@torch.no_grad()
def encode(pipe: Any, prompt: str, negative_prompt: str | None, clip_skip: int) -> tuple[Any, ...]:
    """Embeddings of the prompt and the negative prompt, then the pooled ones of both; None for what is not read.

    `pipe` is a Stable Diffusion 3.x or Flux.1 pipeline. Raises `prompts.PromptWeight`.
    """
    words, device = plain(prompt), pipe._execution_device
    if _is_flux(pipe):
        embeddings, pooled, _ = pipe.encode_prompt(words, None, device=device, max_sequence_length=tokens_of(pipe))
        return embeddings, None, pooled, None
    return pipe.encode_prompt(
        words,
        None,
        None,
        device=device,
        do_classifier_free_guidance=negative_prompt is not None,
        negative_prompt=plain(negative_prompt or ""),
        clip_skip=clip_skip - 1 or None,
        max_sequence_length=tokens_of(pipe),
    )


def warnings_of(pipe: Any, prompt: str, negative_prompt: str, guided: bool) -> list[str]:
    """What of the prompts will not be read."""
    texts = [prompt, negative_prompt] if guided and not _is_flux(pipe) else [prompt]
    told = []
    if any(fragment.weight != 1 for text in texts for part in prompts.parse(text).parts for fragment in part):
        told.append("Weights in the prompt have no effect with this checkpoint: its T5 reads plain text.")
    if _is_flux(pipe) and negative_prompt:
        told.append("The negative prompt has no effect: this checkpoint reads none.")
    tokenizer = getattr(pipe, "tokenizer_3", None) or (pipe.tokenizer_2 if _is_flux(pipe) else pipe.tokenizer)
    limit = min(tokens_of(pipe), tokenizer.model_max_length)
    if any(len(tokenizer(plain(text), verbose=False).input_ids) > limit for text in texts):
        told.append(f"The prompt is longer than the {limit} tokens that this checkpoint reads; its end was not read.")
    return told


def tokens_of(pipe: Any) -> int:
    """Tokens that the pipeline's T5 reads."""
    return next(tokens for name, tokens in T5_TOKENS.items() if type(pipe).__name__.startswith(name))


def plain(text: str) -> str:
    """`text` without the syntax of weights and parts."""
    return " ".join("".join(fragment.text for fragment in part) for part in prompts.parse(text).parts)


def _is_flux(pipe: Any) -> bool:
    return type(pipe).__name__.startswith("Flux")
