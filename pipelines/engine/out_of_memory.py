"""Running out of memory: how it shows, and in what figures it is told. torch is imported only where it has failed."""

import errno
import re
from dataclasses import dataclass
from typing import Literal

from pipelines.engine.errors import OutOfMemory

_SAID = (
    "can't allocate memory",  # PyTorch's allocator for the CPU
    "Cannot allocate memory",
    "not enough memory",  # the same on Windows
    "out of memory",
    "ALLOC_FAILED",  # cuBLAS and cuDNN
)
_OF_THE_CPU = _SAID[:3]
_UNITS = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_TRIED = re.compile(r"[Tt]ried to allocate ([\d.]+) (bytes|KiB|MiB|GiB)")
"""As PyTorch says it of the CPU and of CUDA."""


@dataclass(frozen=True, slots=True)
class Shortage:
    """What was missing, in bytes: `needed` at once (None where that is not known), of `total` were `free`. `tier` is
    the memory that ran out: the GPU's own, or main memory."""

    tier: Literal["gpu", "ram"]
    needed: int | None
    free: int
    total: int

    def __str__(self) -> str:
        more = "" if self.needed is None else f"{_size(self.needed)} more were needed, "
        return f"{more}{_size(self.free)} of {_size(self.total)} were free"

    def error(self) -> OutOfMemory:
        return OutOfMemory(
            f"It does not fit into memory: {self}, and nothing is left that would need less. Choose a smaller size, or "
            "close what else uses the device."
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether it was raised because memory, of the device or the machine, had run out."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(said in str(error) for said in _SAID)


def shortage(error: BaseException, device: Literal["cpu", "cuda"]) -> Shortage:
    """The figures of `error`, to be asked for while what had been computed is still there."""
    text = str(error)
    tried = _TRIED.search(text)
    needed = None if tried is None else round(float(tried[1]) * _UNITS[tried[2]])
    if device == "cuda" and isinstance(error, RuntimeError) and not any(said in text for said in _OF_THE_CPU):
        import torch

        return Shortage("gpu", needed, *torch.cuda.mem_get_info())
    import psutil

    memory = psutil.virtual_memory()
    return Shortage("ram", needed, memory.available, memory.total)


def _size(number: int) -> str:
    return f"{number / 2**30:.1f} GiB" if number >= 2**30 else f"{number / 2**20:.0f} MiB"
