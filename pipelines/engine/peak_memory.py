"""The most memory that was in use since it was last asked to be counted anew: part of what a picture costs.

On a GPU that is what PyTorch had allocated there. Without one it is the resident set of the process that draws, weights
and libraries included, which Linux alone counts anew (`man 5 proc_pid_clear_refs`).
"""

import re
from contextlib import suppress
from pathlib import Path
from typing import Literal

_COUNT_ANEW = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")
_PEAK = re.compile(r"VmHWM:\s+(\d+) kB")


def count_anew(device: Literal["cpu", "cuda"]) -> None:
    """Forget the peak so far."""
    if device == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats()
    else:
        with suppress(OSError):
            _COUNT_ANEW.write_text("5", encoding="ascii")


def peak(device: Literal["cpu", "cuda"]) -> int | None:
    """In bytes; None where the system does not tell."""
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_allocated()
    try:
        found = _PEAK.search(_STATUS.read_text(encoding="ascii")) if _COUNT_ANEW.exists() else None
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None
