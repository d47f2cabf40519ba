"""Memory that runs out where a test wants it to."""

import contextlib
from collections.abc import Container, Iterator

import torch
from torch.nn.modules.module import register_module_forward_pre_hook

CUDA = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 8 GiB")
CPU = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4294967296 bytes. Error code 12")


@contextlib.contextmanager
def failing(kind: type[torch.nn.Module], error: Exception, calls: Container[int]) -> Iterator[list[int]]:
    """Modules of `kind` find no memory: in those of their calls, counted from 0, that `calls` holds. Gives a list with
    an entry for each call."""
    counted: list[int] = []

    def fail(module: torch.nn.Module, _arguments: object) -> None:
        if isinstance(module, kind):
            counted.append(1)
            if len(counted) - 1 in calls:
                raise error

    hook = register_module_forward_pre_hook(fail)
    try:
        yield counted
    finally:
        hook.remove()
