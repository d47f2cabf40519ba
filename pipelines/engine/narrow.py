"""Weights of a UNet or transformer kept in 8 or 4 bits and computed in the usual precision: less memory, some of the
numbers' sharpness, and work for every layer of every step.

    float8   the numbers of diffusers' `enable_layerwise_casting`
    int8     torchao's, one scale for each row of a linear layer
    nf4      bitsandbytes' (arxiv.org/abs/2305.14314), one scale for each 64 numbers of a linear layer

The libraries put tensors or layers of their own kinds into a model, which could not be moved and counted as a block;
here what they make lies as plain numbers in the component's block, and they read it while its layer computes.
"""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.hooks._common import _GO_LC_SUPPORTED_PYTORCH_LAYERS as LAYERS
from diffusers.hooks.layerwise_casting import DEFAULT_SKIP_MODULES_PATTERN

from pipelines.engine.weights import ALIGNMENT, Slot, new_block, view_of

Packed = dict[str, torch.Tensor]
"""What a weight was made into: its numbers under "", and under other names what is needed to read them."""


@dataclass(frozen=True, slots=True)
class Storage:
    """A way to keep weights. `unpack` gives them in the shape and precision asked for."""

    dtype: torch.dtype
    layers: tuple[type[torch.nn.Module], ...]
    parameters: tuple[str, ...]
    pack: Callable[[torch.Tensor], Packed]
    unpack: Callable[[Packed, torch.Size, torch.dtype], torch.Tensor]


def _as_float8(weight: torch.Tensor) -> Packed:
    return {"": weight.to(torch.float8_e4m3fn)}


def _of_float8(packed: Packed, _shape: torch.Size, dtype: torch.dtype) -> torch.Tensor:
    return packed[""].to(dtype)


def _as_int8(weight: torch.Tensor) -> Packed:
    from torchao.quantization import Int8Tensor, PerRow  # pyright: ignore[reportMissingImports]

    made = Int8Tensor.from_hp(weight, granularity=PerRow())
    return {"": made.qdata, "scale": made.scale}


def _of_int8(packed: Packed, shape: torch.Size, dtype: torch.dtype) -> torch.Tensor:
    from torchao.quantization import Int8Tensor  # pyright: ignore[reportMissingImports]

    return Int8Tensor(packed[""], packed["scale"], [1, shape[1]], dtype).dequantize()


def _as_nf4(weight: torch.Tensor) -> Packed:
    from bitsandbytes.functional import quantize_4bit  # pyright: ignore[reportMissingImports]

    numbers, state = quantize_4bit(weight.contiguous(), quant_type="nf4")
    return {"": numbers, "absmax": state.absmax, "code": state.code}


def _of_nf4(packed: Packed, shape: torch.Size, dtype: torch.dtype) -> torch.Tensor:
    from bitsandbytes.functional import QuantState, dequantize_4bit  # pyright: ignore[reportMissingImports]

    absmax, code = packed["absmax"], packed["code"]
    state = QuantState(absmax=absmax, shape=shape, code=code, blocksize=64, quant_type="nf4", dtype=dtype)
    return dequantize_4bit(packed[""], state)


_LINEAR = (torch.nn.Linear,)
STORAGES: Mapping[str, Storage] = {
    "float8": Storage(torch.float8_e4m3fn, LAYERS, ("weight", "bias"), _as_float8, _of_float8),
    "int8": Storage(torch.int8, _LINEAR, ("weight",), _as_int8, _of_int8),
    "nf4": Storage(torch.uint8, _LINEAR, ("weight",), _as_nf4, _of_nf4),
}


def store(denoiser: Any, how: str, *, pinned: bool) -> None:
    """Keep the weights of `denoiser`'s layers as `STORAGES[how]`, in one block of main memory (`pinned` for a GPU).

    Norms and embeddings of places keep their precision, as diffusers has it, and so does the first layer, whose type
    says what is computed in.
    """
    storage = STORAGES[how]
    for layer in _layers(denoiser, storage.layers):
        for name, tensor in list(layer.named_parameters(recurse=False)):
            if name in storage.parameters:
                _pack(layer, name, tensor, storage)
    tensors = list({id(tensor): tensor for tensor in (*denoiser.parameters(), *denoiser.buffers())}.values())
    slots, end = [], 0
    for tensor in tensors:
        slots.append(Slot(tensor.dtype, tensor.shape, tensor.stride(), end))
        end += -(-tensor.nbytes // ALIGNMENT) * ALIGNMENT
    block = new_block(end, pinned=pinned)
    for tensor, slot in zip(tensors, slots, strict=True):
        tensor.data = view_of(block, slot).copy_(tensor.data)


def _pack(layer: torch.nn.Module, name: str, tensor: torch.Tensor, storage: Storage) -> None:
    if tensor.dtype == storage.dtype:  # a parameter that two layers have
        return
    for part, numbers in storage.pack(tensor.data).items():
        if part:
            layer.register_buffer(f"{name}_{part}", numbers, persistent=False)
        else:
            tensor.data = numbers


@contextlib.contextmanager
def computing(denoiser: Any, how: str) -> Iterator[None]:
    """Until the block is left, layers of `denoiser` that are kept as `STORAGES[how]` compute in its own precision."""
    storage, dtype = STORAGES[how], denoiser.dtype
    with contextlib.ExitStack() as stack:
        for layer in denoiser.modules():
            if any(tensor.dtype == storage.dtype for tensor in layer.parameters(recurse=False)):
                layer_while_computing = _Layer(storage, dtype)
                stack.callback(layer.register_forward_pre_hook(layer_while_computing.widen).remove)
                stack.callback(
                    layer.register_forward_hook(layer_while_computing.put_back, prepend=True, always_call=True).remove
                )
        yield


class _Layer:
    """The weights of one layer while it computes."""

    def __init__(self, storage: Storage, dtype: torch.dtype):
        self._storage = storage
        self._dtype = dtype
        self._stored: list[tuple[torch.Tensor, torch.Tensor]] = []

    def widen(self, layer: Any, _arguments: Any) -> None:
        self._stored = []
        for name, tensor in layer.named_parameters(recurse=False):
            if tensor.dtype == self._storage.dtype:
                self._stored.append((tensor, tensor.data))
                tensor.data = self._storage.unpack(_packed(layer, name, tensor.data), _shape_of(layer), self._dtype)

    def put_back(self, _layer: torch.nn.Module, _arguments: Any, _output: Any) -> None:
        for tensor, data in self._stored:
            tensor.data = data
        self._stored = []


def _shape_of(layer: Any) -> torch.Size:
    """Of a linear layer's weight, which may be packed; of others nothing."""
    return torch.Size((layer.out_features, layer.in_features) if isinstance(layer, torch.nn.Linear) else ())


def _packed(layer: torch.nn.Module, name: str, numbers: torch.Tensor) -> Packed:
    start = f"{name}_"
    parts = {part.removeprefix(start): buffer for part, buffer in layer.named_buffers(recurse=False)}
    return {"": numbers, **parts}


def _layers(denoiser: Any, kinds: tuple[type[torch.nn.Module], ...]) -> Iterator[torch.nn.Module]:
    """Those kept in few bits."""
    kept = (*DEFAULT_SKIP_MODULES_PATTERN, *(denoiser._skip_layerwise_casting_patterns or ()))
    kept += tuple(denoiser._keep_in_fp32_modules or ())
    first = next(name for name, _ in denoiser.named_parameters()).rpartition(".")[0]
    for name, module in denoiser.named_modules():
        whole = all(tensor.is_floating_point() for tensor in module.parameters(recurse=False))  # or compressed already
        if isinstance(module, kinds) and whole and name != first and not _is_under(name, kept):
            yield module


def _is_under(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether the module `name` or one that it is in fits one of `patterns`."""
    parts = name.split(".")
    paths = [".".join(parts[: end + 1]) for end in range(len(parts))]
    return any(re.search(pattern, path) for pattern in patterns for path in paths)
