"""A denoiser that follows control pictures, as a `with`: what ControlNets and T2I-Adapters say is added within it.

The pipeline is the ordinary one. Before each call of its UNet the control models read what it is about to read, and
their answers go in beside it, as diffusers' own pipelines have it; so several units of any kinds act together, each
with its own weight, share of the steps and mode, and no part of a checkpoint is held twice.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers import ControlNetUnionModel, T2IAdapter
from PIL import Image

from presets.controlnet import ControlUnit

FADING = 0.825
"""With another mode than balanced, each answer counts so much less than the one a block further in. This and the shares
of adapters are those of A1111's ControlNet extension."""
ADAPTER_SHARES = (0.25, 0.62, 0.825, 1.0)
"""Of an adapter's levels, the deepest last; it may have fewer."""

UNION_TYPES = ("pose", "depth", "soft-edge", "lines", "normal", "segments", "tile", "repaint")
"""In the order of the union's numbers; those that were trained on six know the first six."""

Answers = tuple[list[torch.Tensor], torch.Tensor]
"""Of a ControlNet: for each block on the UNet's way down, and for its middle."""


@dataclass(frozen=True, slots=True)
class Followed:
    """A unit at work: its control picture as (1, 3, height, width) in [0, 1], and the model that reads it."""

    unit: ControlUnit
    model: Any
    picture: torch.Tensor

    def counts_at(self, call: int, calls: int) -> bool:
        """Whether it is followed in `call` (from 0) of `calls`; rounded as diffusers does."""
        return self.unit.weight > 0 and call / calls >= self.unit.start and (call + 1) / calls <= self.unit.end

    @property
    def only_positive(self) -> bool:
        """Whether it acts on what the prompt says alone, so that guidance makes it stronger."""
        return self.unit.mode == "control"


def as_numbers(picture: Image.Image) -> torch.Tensor:
    """An RGB picture as (1, 3, height, width) in [0, 1]."""
    return torch.from_numpy(np.asarray(picture, np.float32) / 255).permute(2, 0, 1)[None]


@contextlib.contextmanager
def following(pipe: Any, followed: Sequence[Followed]) -> Iterator[None]:
    """Until the block is left, the UNet of `pipe` follows `followed`, in each run of the pipeline anew."""
    if not followed:
        yield
        return
    follower = _Follower(pipe, followed)
    # Before others' hooks: those may bring the UNet's weights, which the control models would take away again.
    hook = pipe.unet.register_forward_pre_hook(follower.before_call, with_kwargs=True, prepend=True)
    try:
        yield
    finally:
        hook.remove()


class _Follower:
    """Counts the calls of the denoiser and adds to each what the control models say."""

    def __init__(self, pipe: Any, followed: Sequence[Followed]):
        self._pipe = pipe
        self._followed = followed
        self._calls = 0
        self._level = 0.0
        self._features: dict[int, list[torch.Tensor]] = {}

    def before_call(
        self, _unet: Any, arguments: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        sample, timestep = arguments[:2]
        call = self._call_at(float(timestep))
        named = dict(named)
        for one in self._followed:
            if not one.counts_at(call, self._pipe.num_timesteps):
                continue
            if isinstance(one.model, T2IAdapter):
                given = named.get("down_intrablock_additional_residuals")
                named["down_intrablock_additional_residuals"] = _added(given, self._adapted(one, sample))
            else:
                down, middle = _answers(one, sample, timestep, named)
                given = named.get("down_block_additional_residuals")
                named["down_block_additional_residuals"] = _added(given, down)
                named["mid_block_additional_residual"] = middle + named.get("mid_block_additional_residual", 0)
        return arguments, named

    def _call_at(self, timestep: float) -> int:
        """Which call of its run this is, from 0. Timesteps fall within a run."""
        if timestep > self._level or self._calls >= self._pipe.num_timesteps:
            self._calls = 0
        self._level, self._calls = timestep, self._calls + 1
        return self._calls - 1

    def _adapted(self, one: Followed, sample: torch.Tensor) -> list[torch.Tensor]:
        """What the adapter says: the same at each step. The UNet takes the list apart, so each call has its own."""
        features = self._features.get(id(one))
        if features is None:
            picture = one.picture if one.model.config.in_channels == 3 else one.picture.mean(1, keepdim=True)
            features = self._features[id(one)] = one.model(picture.to(sample))
        shares = (1.0,) * len(features) if one.unit.mode == "balanced" else ADAPTER_SHARES[-len(features) :]
        scaled = [feature * (one.unit.weight * share) for feature, share in zip(features, shares, strict=True)]
        return [_for_batch(feature, len(sample), one.only_positive) for feature in scaled]


def _answers(one: Followed, sample: torch.Tensor, timestep: Any, named: Mapping[str, Any]) -> Answers:
    """What a ControlNet says of `sample`, weighted, in the shape of the whole batch."""
    words, added, guided = named["encoder_hidden_states"], named.get("added_cond_kwargs"), len(sample) > 1
    sample = sample[:, : one.model.config.in_channels]  # what stands behind is a mask and what is beside it
    if one.only_positive and guided:
        sample, words = _positive(sample), _positive(words)
        added = {name: _positive(value) for name, value in added.items()} if added else added
    down, middle = one.model(
        sample,
        timestep,
        encoder_hidden_states=words,
        conditioning_scale=one.unit.weight,
        added_cond_kwargs=added,
        return_dict=False,
        **_picture_for(one, sample),
    )
    if one.unit.mode != "balanced":
        down = [answer * FADING ** (len(down) - block) for block, answer in enumerate(down)]
    if one.only_positive and guided:
        down = [_for_batch(answer, 2, only_positive=True) for answer in down]
        middle = _for_batch(middle, 2, only_positive=True)
    return list(down), middle


def _picture_for(one: Followed, sample: torch.Tensor) -> dict[str, Any]:
    """The control picture for each of `sample`, by the names of the model's parameters."""
    picture = one.picture.to(sample).expand(len(sample), -1, -1, -1)
    if not isinstance(one.model, ControlNetUnionModel):
        return {"controlnet_cond": picture}
    config: Any = one.model.config
    kinds = config.num_control_type
    number = min(UNION_TYPES.index(union_type(one.unit)), kinds - 1)
    control_type = torch.zeros(len(sample), kinds, dtype=sample.dtype, device=sample.device)
    control_type[:, number] = 1
    return {"controlnet_cond": [picture], "control_type": control_type, "control_type_idx": [number]}


def union_type(unit: ControlUnit) -> str:
    """What the control picture shows, as unions of ControlNets tell them apart."""
    if unit.union_type != "automatic":
        return unit.union_type
    return next((kind for mark, kind in _BY_PREPROCESSOR if unit.preprocessor.startswith(mark)), "lines")


_BY_PREPROCESSOR = (
    ("openpose", "pose"), ("depth", "depth"), ("softedge", "soft-edge"), ("scribble", "soft-edge"),
    ("normal", "normal"), ("tile", "tile"), ("blur", "tile"),
)  # fmt: skip
"""Beginnings of preprocessors' names."""


def _added(given: list[torch.Tensor] | None, more: list[torch.Tensor]) -> list[torch.Tensor]:
    return more if given is None else [one + other for one, other in zip(given, more, strict=True)]


def _positive(batch: torch.Tensor) -> torch.Tensor:
    """Of negative and positive halves the latter."""
    return batch.chunk(2)[1]


def _for_batch(answer: torch.Tensor, size: int, only_positive: bool) -> torch.Tensor:
    """One answer for a batch of `size`: one, or a negative and a positive half."""
    if size == 1:
        return answer
    return torch.cat([torch.zeros_like(answer) if only_positive else answer, answer])
