"""Weights on their way from a file into memory: one block for each component, filled in the precision wanted."""

import contextlib
import math
import mmap
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from pipelines.engine.headers import BrokenFile, Place
from pipelines.engine.model import PICKLED, header_of

ALIGNMENT = 256
"""Bytes. What CUDA's copies and kernels like, and more than any CPU's vectors need."""

CHUNK = 2**18
"""Numbers that are converted at a time: what is read, its float32 form and the result stay in the processor's cache."""

AHEAD = 64 * 2**20
"""Bytes that the disk is asked for before they are needed."""

WINDOW = 8 * 2**20
"""Bytes that the disk is asked for at a time."""

IDLE_SECONDS = 0.004
"""Rest after each window that is read ahead, so that whoever draws is not disturbed."""


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
        if target.shape != source.shape:
            raise ValueError(f"a tensor is {tuple(source.shape)} and should be {tuple(target.shape)}")
        if source.dtype == target.dtype and source.stride() == target.stride():
            target.copy_(source)
            return
        if target.is_contiguous() and source.is_contiguous():
            target, source = target.view(-1), source.view(-1)
        rows = max(1, CHUNK // max(1, math.prod(source.shape[1:])))
        for start in range(0, len(source) if source.ndim else 0, rows):
            self._copy_rows(target[start : start + rows], source[start : start + rows])
        if not source.ndim:
            target.copy_(source)

    def _copy_rows(self, target: torch.Tensor, source: torch.Tensor) -> None:
        if source.dtype != target.dtype:
            if torch.float32 not in (source.dtype, target.dtype):
                self._wide = _grown(self._wide, source, torch.float32)
                source = _like(self._wide, source).copy_(source)
            if not target.is_contiguous():
                self._narrow = _grown(self._narrow, source, target.dtype)
                source = _like(self._narrow, source).copy_(source)
        target.copy_(source)


def _grown(buffer: torch.Tensor, source: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    enough = buffer.dtype == dtype and buffer.numel() >= source.numel()
    return buffer if enough else torch.empty(max(source.numel(), CHUNK), dtype=dtype)


def _like(buffer: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    return buffer[: source.numel()].view(source.shape)


def mapped(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file, mapped and not read yet.

    A pickled checkpoint is not unpickled: its table of tensors says where they lie. Raises `BrokenFile`, `UnsafeFile`,
    `safetensors.SafetensorError` and `OSError`.
    """
    if path.suffix.lower() not in PICKLED:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    header = header_of(path)
    whole = torch.from_file(str(path), shared=False, size=path.stat().st_size, dtype=torch.uint8)
    return {name: _at(whole, place).reshape(header.shapes[name]) for name, place in header.places.items()}


def _at(whole: torch.Tensor, place: Place) -> torch.Tensor:
    """The numbers of a tensor whose bytes lie at `place` of a file."""
    content, dtype = whole[place.start : place.stop], _DTYPES[place.dtype]
    aligned = content if place.start % dtype.itemsize == 0 else content.clone()
    return aligned.view(dtype)


_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


class WeightFiles:
    """Files of weights, mapped: `tensors` are read from the disk as they are used. As a `with`; raises as `mapped`."""

    def __init__(self, paths: tuple[Path, ...]):
        self._paths = paths
        self._open = contextlib.ExitStack()
        self._states: dict[int, tuple[int, int]] = {}
        self._places: list[tuple[int, int, int]] = []
        self.tensors: dict[str, torch.Tensor] = {}

    def __enter__(self) -> "WeightFiles":
        with contextlib.ExitStack() as stack:
            for path in self._paths:
                self._add(stack, path)
            self._open = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.tensors.clear()
        self._open.close()

    def _add(self, stack: contextlib.ExitStack, path: Path) -> None:
        descriptor = stack.enter_context(path.open("rb")).fileno()
        state = os.fstat(descriptor)
        self._states[descriptor] = (state.st_size, state.st_mtime_ns)
        tensors = mapped(path)
        first = min((tensor.data_ptr() for tensor in tensors.values() if tensor.numel()), default=0)
        self._places = sorted([*self._places, (first, descriptor, state.st_size)], reverse=True)
        self.tensors.update(tensors)

    def in_order(self, tensors: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:
        """`tensors` (of these files, or views of them) as they follow each other on the disk, which is asked for what
        comes next. Raises `BrokenFile` if a file is written to meanwhile."""
        asked = 0
        for name, tensor in sorted(tensors.items(), key=lambda entry: entry[1].data_ptr()):
            asked = self._ask_ahead(tensor, asked)
            self.check()
            yield name, tensor
        self.check()

    def check(self) -> None:
        """Raise `BrokenFile` if a file is no longer what it was when it was opened. To read behind the end of a file
        that was cut off would end the process."""
        for descriptor, state in self._states.items():
            now = os.fstat(descriptor)
            if (now.st_size, now.st_mtime_ns) != state:
                raise BrokenFile("it was changed while it was read")

    def _ask_ahead(self, tensor: torch.Tensor, asked: int) -> int:
        """Ask the disk for what follows `tensor`, up to `AHEAD` bytes; `asked` is the address until which it was."""
        place = next((place for place in self._places if place[0] <= tensor.data_ptr()), None)
        if place is None or not tensor.numel() or not hasattr(os, "posix_fadvise"):
            return asked
        first, descriptor, size = place
        wanted = min(tensor.data_ptr() + tensor.nbytes + AHEAD, first + size)
        start = max(asked, tensor.data_ptr())
        while start < wanted:
            os.posix_fadvise(descriptor, start - first, WINDOW, os.POSIX_FADV_WILLNEED)
            start += WINDOW
        return start


def read_ahead(path: Path) -> None:
    """Bring the file into the system's memory for files, slowly enough not to disturb. Raises `OSError`."""
    with path.open("rb", buffering=0) as file:
        buffer = bytearray(0 if hasattr(os, "posix_fadvise") else WINDOW)
        for start in range(0, os.fstat(file.fileno()).st_size, WINDOW):
            if buffer:
                file.readinto(buffer)
            else:
                os.posix_fadvise(file.fileno(), start, WINDOW, os.POSIX_FADV_WILLNEED)
            time.sleep(IDLE_SECONDS)
