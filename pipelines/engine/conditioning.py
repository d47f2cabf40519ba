"""A prompt as the numbers a UNet listens to, as AUTOMATIC1111's web UI makes them.

Content tokens are cut into chunks of 75 (what the text encoder reads less its two markers); a chunk that would end
within 20 tokens after a comma ends at the comma instead, and BREAK ends it at once. Weights multiply the hidden
states, whose mean is then restored chunk by chunk. compel is not used: it cuts at sentences, mixes a weight below 1
by masking, and has neither BREAK nor the restored mean.
"""

import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from pipelines.engine import joint_conditioning
from pipelines.engine.embeddings import Embedding, Embeddings, standing_in
from pipelines.engine.tokens import MARKERS, Chunk, chunked
from presets import prompts

REMEMBERED = 32

NO_MEAN = 0.02
"""Share of the standard deviation under which a mean counts as none."""


@dataclass(frozen=True, slots=True)
class Conditioning:
    """Embeddings of shape (1, tokens, width), of one length; `pooled` (1, width) where there is a second encoder.

    The negative ones are None where they were not asked for.
    """

    prompt: torch.Tensor
    negative: torch.Tensor | None
    pooled: torch.Tensor | None
    negative_pooled: torch.Tensor | None


@dataclass(frozen=True, slots=True)
class _Encoded:
    """Hidden states (chunks, tokens, width), and the pooled state (1, width) of the first chunk."""

    states: torch.Tensor
    pooled: torch.Tensor | None


class Conditioner:
    """Encodes prompts and remembers the last ones, so that a new seed costs nothing.

    What is remembered is bound to the text encoders as objects and is freed with them.
    """

    def __init__(self, remembered: int = REMEMBERED, embeddings: Embeddings | None = None):
        self._embeddings = embeddings
        self._remembered = remembered
        self._of: weakref.WeakKeyDictionary[Any, OrderedDict[Hashable, Any]] = weakref.WeakKeyDictionary()

    def encode(
        self, pipe: Any, prompt: str, negative_prompt: str | None, clip_skip: int = 1, version: Hashable = ()
    ) -> Conditioning:
        """Embeddings for `pipe`, on its device, in its encoder's type.

        `clip_skip` 1 is the encoder's usual layer: the last with the final norm; for SDXL the last but one without.
        Pipelines with a transformer read the prompt as `joint_conditioning` says.
        `negative_prompt` None is for runs without guidance. `version` must differ whenever the encoders' weights do
        (the LoRAs applied). Raises `prompts.PromptWeight`.
        """
        if getattr(pipe, "transformer", None) is not None:
            return self._jointly(pipe, prompt, negative_prompt, clip_skip, version)
        positive = self._encoded(pipe, prompt, clip_skip, version)
        zeroed = negative_prompt == "" and _is_xl(pipe) and pipe.config.get("force_zeros_for_empty_prompt", False)
        if negative_prompt is None:
            return _joined(positive, None)
        if zeroed:
            return _joined(positive, [_zeros(part) for part in positive])
        negative = self._encoded(pipe, negative_prompt, clip_skip, version)
        length = max(len(part.states) for part in (*positive, *negative))
        if any(len(part.states) != length for part in (*positive, *negative)):
            empty = self._encoded(pipe, "", clip_skip, version)
            positive, negative = _padded(positive, empty, length), _padded(negative, empty, length)
        return _joined(positive, negative)

    def forget(self) -> None:
        """Drop all that is remembered."""
        self._of.clear()

    def _encoded(self, pipe: Any, text: str, clip_skip: int, version: Hashable) -> list[_Encoded]:
        """`text` by each encoder of `pipe`, all with as many chunks."""
        encoders = _encoders(pipe)
        own = self._embeddings.named_in(text) if self._embeddings else ()
        key = (text, clip_skip, version, *(embedding.identity for embedding in own))
        return self._remembered_or(encoders, key, lambda: _encode(pipe, encoders, text, clip_skip, own))

    def _jointly(self, pipe: Any, prompt: str, negative: str | None, clip_skip: int, version: Hashable) -> Conditioning:
        encoders = [(None, pipe.text_encoder), (None, pipe.text_encoder_2)]
        key = (prompt, negative, clip_skip, version)
        return self._remembered_or(
            encoders, key, lambda: Conditioning(*joint_conditioning.encode(pipe, prompt, negative, clip_skip))
        )

    def _remembered_or(
        self, encoders: Sequence[tuple[Any, Any]], key: tuple[Hashable, ...], encode: Callable[[], Any]
    ) -> Any:
        """What `encode` gives, or gave before for the same key and encoders."""
        known = self._of.setdefault(encoders[-1][1], OrderedDict())
        key = (*key, *(weakref.ref(encoder) for _, encoder in encoders))
        if key not in known:
            known[key] = encode()
        known.move_to_end(key)
        while len(known) > self._remembered:
            known.popitem(last=False)
        return known[key]


def _is_xl(pipe: Any) -> bool:
    return getattr(pipe, "text_encoder_2", None) is not None


def _encoders(pipe: Any) -> list[tuple[Any, Any]]:
    """The (tokenizer, text encoder) pairs of `pipe`; SDXL's refiner has but the second."""
    pairs = [(pipe.tokenizer, pipe.text_encoder)]
    if _is_xl(pipe):
        pairs.append((pipe.tokenizer_2, pipe.text_encoder_2))
    return [(tokenizer, encoder) for tokenizer, encoder in pairs if encoder is not None]


@torch.no_grad()
def _encode(
    pipe: Any, encoders: Sequence[tuple[Any, Any]], text: str, clip_skip: int, own: Sequence[Embedding]
) -> list[_Encoded]:
    parsed, device, is_xl = prompts.parse(text), pipe._execution_device, _is_xl(pipe)
    encoded = []
    for tokenizer, encoder in encoders:
        with standing_in(own, tokenizer, encoder, number=int(encoder is not pipe.text_encoder)) as words:
            encoded.append(_states(parsed, words, encoder, device, clip_skip, is_xl))
    return encoded


def _tokenized(parsed: prompts.Parsed, tokenizer: Any, size: int) -> list[Chunk]:
    def content(fragment: prompts.Fragment) -> Chunk:
        tokens = tokenizer(fragment.text, add_special_tokens=False, truncation=False, verbose=False).input_ids
        return [(token, fragment.weight) for token in tokens]

    parts = [[pair for fragment in part for pair in content(fragment)] for part in parsed.parts]
    return chunked(parts, size, tokenizer.get_vocab().get(",</w>"))


def _states(
    parsed: prompts.Parsed, tokenizer: Any, encoder: Any, device: torch.device, clip_skip: int, is_xl: bool
) -> _Encoded:
    length = min(tokenizer.model_max_length, encoder.config.max_position_embeddings)
    chunks = _tokenized(parsed, tokenizer, length - MARKERS)
    tokens = torch.full((len(chunks), length), tokenizer.pad_token_id)
    weights = torch.ones(len(chunks), length)
    for row, chunk in enumerate(chunks):
        content = [token for token, _ in chunk]
        marked = [tokenizer.bos_token_id, *content, tokenizer.eos_token_id]
        tokens[row, : len(marked)] = torch.tensor(marked)
        weights[row, 1 : len(chunk) + 1] = torch.tensor([weight for _, weight in chunk])
    output = encoder(tokens.to(device), output_hidden_states=True)
    states = _layer(output, encoder, clip_skip, is_xl).to(encoder.dtype)
    pooled = output[0][:1] if output[0].ndim == 2 else None
    return _Encoded(_emphasised(states, weights.to(device)), pooled)


def _layer(output: Any, encoder: Any, clip_skip: int, is_xl: bool) -> torch.Tensor:
    """The hidden states that the UNet was trained on, `clip_skip` - 1 layers earlier, at the earliest the first."""
    layers = len(output.hidden_states) - 1
    if is_xl:
        return output.hidden_states[-min(clip_skip + 1, layers)]
    if clip_skip == 1:
        return output.last_hidden_state
    return getattr(encoder, "text_model", encoder).final_layer_norm(output.hidden_states[-min(clip_skip, layers)])


def _emphasised(states: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """`states` times `weights`, each chunk's mean as it was (A1111's emphasis "Original").

    A mean within `NO_MEAN` of zero, as that of an encoder that ends in a norm of its own, is not restored: the ratio of
    two such means is chance, and may even be negative.
    """
    if bool((weights == 1).all()):
        return states
    weighted = states.float() * weights[..., None]
    before, after = (values.mean(dim=(1, 2), keepdim=True) for values in (states.float(), weighted))
    least = NO_MEAN * states.float().std(dim=(1, 2), keepdim=True)
    restored = torch.where((before.abs() > least) & (after.abs() > least), weighted * (before / after), weighted)
    return torch.where((weights == 1).all(dim=1)[:, None, None], states, restored.to(states.dtype))


def _padded(encoded: Sequence[_Encoded], empty: Sequence[_Encoded], length: int) -> list[_Encoded]:
    """`encoded` with chunks of nothing up to `length` chunks."""
    return [
        _Encoded(torch.cat([part.states, *[blank.states] * (length - len(part.states))]), part.pooled)
        for part, blank in zip(encoded, empty, strict=True)
    ]


def _zeros(encoded: _Encoded) -> _Encoded:
    pooled = None if encoded.pooled is None else torch.zeros_like(encoded.pooled)
    return _Encoded(torch.zeros_like(encoded.states), pooled)


def _joined(positive: Sequence[_Encoded], negative: Sequence[_Encoded] | None) -> Conditioning:
    def embeddings(encoded: Sequence[_Encoded]) -> torch.Tensor:
        return torch.cat([part.states.flatten(0, 1)[None] for part in encoded], dim=-1)

    return Conditioning(
        prompt=embeddings(positive),
        negative=None if negative is None else embeddings(negative),
        pooled=positive[-1].pooled,
        negative_pooled=None if negative is None else negative[-1].pooled,
    )
