"""Weights of a UNet or transformer kept in 8 bits and computed in the usual precision: half the memory, some of the
numbers' sharpness, and a cast for every layer of every step.

The numbers are those of diffusers' `enable_layerwise_casting`. Its hook casts to and fro, each time into new memory,
which would leave the cache's block unused beside them; here the 8 bits stay where they are.
"""

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import torch
from diffusers.hooks._common import _GO_LC_SUPPORTED_PYTORCH_LAYERS as LAYERS
from diffusers.hooks.layerwise_casting import DEFAULT_SKIP_MODULES_PATTERN

from pipelines.engine.weights import ALIGNMENT, Slot, new_block, view_of

STORED = torch.float8_e4m3fn


def store_in_float8(denoiser: Any, *, pinned: bool) -> None:
    """Keep the weights of `denoiser`'s layers in 8 bits, in one block of main memory (`pinned` for a GPU).

    Norms and embeddings of places keep their precision, as diffusers has it, and so does the first layer, whose type
    says what is computed in.
    """
    narrow = {id(tensor) for layer in _layers(denoiser) for tensor in layer.parameters(recurse=False)}
    tensors = list({id(tensor): tensor for tensor in (*denoiser.parameters(), *denoiser.buffers())}.values())
    slots, end = [], 0
    for tensor in tensors:
        dtype = STORED if id(tensor) in narrow else tensor.dtype
        slots.append(Slot(dtype, tensor.shape, tensor.stride(), end))
        end += -(-tensor.numel() * dtype.itemsize // ALIGNMENT) * ALIGNMENT
    block = new_block(end, pinned=pinned)
    for tensor, slot in zip(tensors, slots, strict=True):
        tensor.data = view_of(block, slot).copy_(tensor.data)


@contextlib.contextmanager
def computing(denoiser: Any) -> Iterator[None]:
    """Until the block is left, layers of `denoiser` that are kept in 8 bits compute in its own precision. Nothing is
    done where there are none."""
    with contextlib.ExitStack() as stack:
        for layer in denoiser.modules():
            if any(tensor.dtype == STORED for tensor in layer.parameters(recurse=False)):
                cast = _Cast(denoiser.dtype)
                stack.callback(layer.register_forward_pre_hook(cast.widen).remove)
                stack.callback(layer.register_forward_hook(cast.put_back, prepend=True, always_call=True).remove)
        yield


class _Cast:
    """The weights of one layer while it computes."""

    def __init__(self, dtype: torch.dtype):
        self._dtype = dtype
        self._stored: list[tuple[torch.Tensor, torch.Tensor]] = []

    def widen(self, layer: torch.nn.Module, _arguments: Any) -> None:
        own = [tensor for tensor in layer.parameters(recurse=False) if tensor.dtype == STORED]
        self._stored = [(tensor, tensor.data) for tensor in own]
        for tensor, data in self._stored:
            tensor.data = data.to(self._dtype)

    def put_back(self, _layer: torch.nn.Module, _arguments: Any, _output: Any) -> None:
        for tensor, data in self._stored:
            tensor.data = data
        self._stored = []


def _layers(denoiser: Any) -> Iterator[torch.nn.Module]:
    """Those kept in 8 bits."""
    kept = (*DEFAULT_SKIP_MODULES_PATTERN, *(denoiser._skip_layerwise_casting_patterns or ()))
    kept += tuple(denoiser._keep_in_fp32_modules or ())
    first = next(name for name, _ in denoiser.named_parameters()).rpartition(".")[0]
    for name, module in denoiser.named_modules():
        whole = all(tensor.is_floating_point() for tensor in module.parameters(recurse=False))  # or compressed already
        if isinstance(module, LAYERS) and whole and name != first and not _is_under(name, kept):
            yield module


def _is_under(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether the module `name` or one that it is in fits one of `patterns`."""
    parts = name.split(".")
    paths = [".".join(parts[: end + 1]) for end in range(len(parts))]
    return any(re.search(pattern, path) for pattern in patterns for path in paths)
