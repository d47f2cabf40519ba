"""Files of weights, read straight into the memory and the precision wanted, by several threads."""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pipelines.engine.headers import BrokenFile, Place
from pipelines.engine.model import header_of
from pipelines.engine.weights import Copier, in_rows

CHANGED = "it was changed while it was read"
MOST_READERS = 8
"""Threads that read one file."""

WINDOW = 8 * 2**20
"""Bytes that the disk is asked for at a time where a file is read ahead."""

RESTS = {"cpu": 0.4, "cuda": 0.02}
"""Seconds after each window that is read ahead while a picture is drawn there: to read costs the system some of the
processor, which a GPU has almost to itself."""

Tell = Callable[[int], object]


def mapped(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file, mapped and not read yet.

    Nothing is unpickled: the file's table of tensors says where they lie. Raises `BrokenFile`, `UnsafeFile` and
    `OSError`.
    """
    return _tensors_in(_mapped(path), path)


def _mapped(path: Path) -> torch.Tensor:
    """The bytes of a file."""
    return torch.from_file(str(path), shared=False, size=path.stat().st_size, dtype=torch.uint8)


def _tensors_in(whole: torch.Tensor, path: Path) -> dict[str, torch.Tensor]:
    header = header_of(path)
    return {name: _at(whole, place).reshape(header.shapes[name]) for name, place in header.places.items()}


def _at(whole: torch.Tensor, place: Place) -> torch.Tensor:
    """The numbers of a tensor whose bytes lie at `place` of a file."""
    dtype = _DTYPES.get(place.dtype)
    if dtype is None:
        raise BrokenFile(f"its numbers are of the type {place.dtype}, which cannot be read")
    if place.start % dtype.itemsize == 0:
        return whole[place.start : place.stop].view(dtype)
    content = whole.untyped_storage()[place.start : place.stop]  # a storage of its own may begin anywhere
    return torch.empty(0, dtype=dtype).set_(content)  # pyright: ignore[reportArgumentType]


_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


class WeightFiles:
    """Files of weights: `tensors` are mapped, and read from the disk as they are used. As a `with`; raises as
    `mapped`."""

    def __init__(self, paths: tuple[Path, ...]):
        self._paths = paths
        self._open = contextlib.ExitStack()
        self._states: dict[int, tuple[int, int]] = {}
        self._ranges: list[tuple[int, int, int]] = []
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
        whole = _mapped(path)
        self._ranges.append((whole.data_ptr(), len(whole), descriptor))
        self.tensors.update(_tensors_in(whole, path))

    def fill(self, targets: Mapping[str, torch.Tensor], sources: Mapping[str, torch.Tensor], tell: Tell) -> None:
        """Fill each of `targets` with what `sources` (tensors of these files, or views of them) has under its name.

        As many threads as PyTorch computes with read and convert, in the files' order; through the mapping the disk
        would be asked for a few pages at a time. `tell` is called on this thread with the bytes filled so far, and
        what it raises ends the work. Raises `BrokenFile` if a file is written to meanwhile, `ValueError` where shapes
        differ.
        """
        self.check()
        pieces = _Pieces(self._pieces(targets, sources))
        with _one_computing_thread() as readers, ThreadPoolExecutor(readers) as pool:
            try:
                others = [pool.submit(_read, pieces, _ignored) for _ in range(min(readers, MOST_READERS) - 1)]
                _read(pieces, tell)
                for other in others:
                    other.result()
            finally:
                pieces.stop()
        self.check()

    def check(self) -> None:
        """Raise `BrokenFile` if a file is no longer what it was when it was opened."""
        for descriptor, state in self._states.items():
            now = os.fstat(descriptor)
            if (now.st_size, now.st_mtime_ns) != state:
                raise BrokenFile(CHANGED)

    def _pieces(self, targets: Mapping[str, torch.Tensor], sources: Mapping[str, torch.Tensor]) -> Iterator["_Piece"]:
        for name, source in sorted(sources.items(), key=lambda entry: entry[1].data_ptr()):
            first, descriptor = self._file_of(source)
            for rows, from_rows in in_rows(targets[name], source):
                if descriptor is None:
                    self.check()  # to read behind the end of a mapped file would end the process
                yield _Piece(rows, from_rows, descriptor, from_rows.data_ptr() - first)

    def _file_of(self, tensor: torch.Tensor) -> tuple[int, int | None]:
        """Where the file begins that `tensor` can be read from in one go, and its descriptor; else None for that."""
        address = tensor.data_ptr()
        if tensor.is_contiguous() and hasattr(os, "preadv"):
            for first, size, descriptor in self._ranges:
                if first <= address and address + tensor.nbytes <= first + size:
                    return first, descriptor
        return 0, None


@dataclass(frozen=True, slots=True)
class _Piece:
    """Some rows to fill, and the same rows as they are mapped; with a `descriptor` they lie at `offset` in its file."""

    target: torch.Tensor
    source: torch.Tensor
    descriptor: int | None
    offset: int

    def fill(self, copier: Copier, buffer: torch.Tensor) -> None:
        if self.descriptor is None:
            copier.copy_rows(self.target, self.source)
            return
        content = buffer[: self.source.nbytes]
        if os.preadv(self.descriptor, [_buffer_of(content)], self.offset) != len(content):
            raise BrokenFile(CHANGED)
        copier.copy_rows(self.target, content.view(self.source.dtype).view(self.source.shape))


class _Pieces:
    """Pieces that several threads take one after the other."""

    def __init__(self, pieces: Iterator[_Piece]):
        self._pieces = pieces
        self._lock = threading.Lock()
        self.filled = 0

    def take(self) -> _Piece | None:
        with self._lock:
            piece = next(self._pieces, None)
            self.filled += piece.target.nbytes if piece else 0
            return piece

    def stop(self) -> None:
        """Give no more pieces."""
        with self._lock:
            self._pieces = iter(())


def _read(pieces: _Pieces, tell: Tell) -> None:
    """Fill pieces until there are no more."""
    torch.set_num_threads(1)
    copier, buffer = Copier(), torch.empty(0, dtype=torch.uint8)
    while piece := pieces.take():
        if len(buffer) < piece.source.nbytes:
            buffer = torch.empty(piece.source.nbytes, dtype=torch.uint8)
        piece.fill(copier, buffer)
        tell(pieces.filled)


def _buffer_of(content: torch.Tensor) -> Any:
    """The memory of bytes, to be read into."""
    return content.numpy()


def _ignored(_filled: int) -> None:
    pass


@contextlib.contextmanager
def _one_computing_thread() -> Iterator[int]:
    """What is computed meanwhile takes the thread that asks for it alone; the threads it would have taken otherwise."""
    threads = torch.get_num_threads()
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)


def read_ahead(path: Path, is_busy: Callable[[], bool], rest: float) -> None:
    """Bring the file into the system's memory for files, with a `rest` (seconds) after each window while `is_busy`.
    Raises `OSError`."""
    with path.open("rb", buffering=0) as file:
        buffer = bytearray(0 if hasattr(os, "posix_fadvise") else WINDOW)
        for start in range(0, os.fstat(file.fileno()).st_size, WINDOW):
            if buffer:
                file.readinto(buffer)
            else:
                os.posix_fadvise(file.fileno(), start, WINDOW, os.POSIX_FADV_WILLNEED)
            end = time.monotonic() + rest
            while is_busy() and time.monotonic() < end:
                time.sleep(rest / 8)
