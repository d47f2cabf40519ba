"""Where weights lie in memory: one block for each component, filled in the precision wanted."""

import contextlib
import math
import mmap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

ALIGNMENT = 256
"""Bytes. What CUDA's copies and kernels like, and more than any CPU's vectors need."""

CHUNK = 2**20
"""Numbers that are converted at a time: what is read, its float32 form and the result stay in the processor's cache."""


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a tensor lies in its component's block: `start` in bytes, `strides` in numbers."""

    dtype: torch.dtype
    shape: torch.Size
    strides: tuple[int, ...]
    start: int


@dataclass(frozen=True, slots=True)
class Layout:
    """The slots of a component's tensors by name, and the bytes of the block that holds them."""

    slots: Mapping[str, Slot]
    size: int


def layout_of(tensors: Mapping[str, torch.Tensor], dtype: torch.dtype, channels_last: bool) -> Layout:
    """A slot of type `dtype` for each of `tensors`, of which only the shapes matter.

    With `channels_last` the weights of convolutions lie as PyTorch's memory format of that name has them.
    """
    slots, end = {}, 0
    for name, tensor in tensors.items():
        memory_format = torch.channels_last if channels_last and tensor.ndim == 4 else torch.contiguous_format
        strides = torch.empty(tensor.shape, device="meta").contiguous(memory_format=memory_format).stride()
        slots[name] = Slot(dtype, tensor.shape, strides, end)
        end += -(-tensor.numel() * dtype.itemsize // ALIGNMENT) * ALIGNMENT
    return Layout(slots, end)


def view_of(block: torch.Tensor, slot: Slot) -> torch.Tensor:
    """The tensor that lies at `slot` in `block`."""
    size = math.prod(slot.shape) * slot.dtype.itemsize
    return block[slot.start : slot.start + size].view(slot.dtype).as_strided(slot.shape, slot.strides)


def new_block(size: int, *, pinned: bool = False) -> torch.Tensor:
    """Zeros of `size` bytes (uint8), given back to the system as soon as no tensor lies in them any more.

    `pinned` is for memory that a GPU fetches by itself; where the system does not allow it, the block is an ordinary
    one. Raises `OSError` where there is no memory.
    """
    memory = _Memory(-1, max(size, 1))
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel without them
            memory.madvise(mmap.MADV_HUGEPAGE)
    block = torch.frombuffer(memory, dtype=torch.uint8)[:size]
    if pinned and size:
        memory.pin(block)
    return block


class _Memory(mmap.mmap):
    """Anonymous memory that can be page-locked. PyTorch's own pinned memory comes in powers of two, far too large."""

    _unpin: Callable[[], Any] | None = None

    def pin(self, block: torch.Tensor) -> None:
        runtime: Any = torch.cuda.cudart()
        address = block.data_ptr()
        if int(runtime.cudaHostRegister(address, block.numel(), 0)) == 0:
            self._unpin = lambda: runtime.cudaHostUnregister(address)

    def __del__(self) -> None:
        if self._unpin is not None:
            self._unpin()


class Copier:
    """Copies tensors into tensors of another precision and layout, in main memory.

    Between two precisions less than float32 PyTorch is several times faster by way of float32; the numbers are the
    same. The buffers for it are made once.
    """

    def __init__(self) -> None:
        self._wide = torch.empty(0)
        self._narrow = torch.empty(0)

    def copy(self, target: torch.Tensor, source: torch.Tensor) -> None:
        """Fill `target` with `source`. Raises `ValueError` where their shapes differ."""
        for rows, from_rows in in_rows(target, source):
            self.copy_rows(rows, from_rows)

    def copy_rows(self, target: torch.Tensor, source: torch.Tensor) -> None:
        """Fill `target` with `source`, which are of one shape and few numbers."""
        if source.dtype != target.dtype:
            if torch.float32 not in (source.dtype, target.dtype):
                self._wide = _grown(self._wide, source, torch.float32)
                source = _like(self._wide, source).copy_(source)
            if not target.is_contiguous():
                self._narrow = _grown(self._narrow, source, target.dtype)
                source = _like(self._narrow, source).copy_(source)
        target.copy_(source)


def in_rows(target: torch.Tensor, source: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Both in pieces of some `CHUNK` numbers. Raises `ValueError` where their shapes differ."""
    if target.shape != source.shape:
        raise ValueError(f"a tensor is {tuple(source.shape)} and should be {tuple(target.shape)}")
    if target.is_contiguous() and source.is_contiguous():
        target, source = target.view(-1), source.view(-1)
    elif not source.ndim:
        target, source = target[None], source[None]
    rows = max(1, CHUNK // max(1, math.prod(source.shape[1:])))
    for start in range(0, len(source), rows):
        yield target[start : start + rows], source[start : start + rows]


def _grown(buffer: torch.Tensor, source: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    enough = buffer.dtype == dtype and buffer.numel() >= source.numel()
    return buffer if enough else torch.empty(max(source.numel(), CHUNK), dtype=dtype)


def _like(buffer: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    return buffer[: source.numel()].view(source.shape)
