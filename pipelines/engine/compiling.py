"""The repeated blocks of a UNet or transformer compiled by PyTorch: the first picture waits, later ones are faster.

What is compiled reads its weights anew at each call, so that LoRAs merged into them and moves between memories need
no second compilation.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch


def compile_blocks(denoiser: Any, backend: Any = "inductor") -> None:
    """Have the repeated blocks of `denoiser` compiled when they are first called. Nothing is done for an architecture
    that names none; where the compiler fails they run as they are."""
    if getattr(denoiser, "_repeated_blocks", None):
        torch._dynamo.config.suppress_errors = True
        denoiser.compile_repeated_blocks(backend=backend)


@contextlib.contextmanager
def interpreted(denoiser: Any, on: bool = True) -> Iterator[None]:
    """Until the block is left, the compiled blocks of `denoiser` run as they are (or not, without `on`): what is
    compiled would not notice hooks inside of it."""
    modules = denoiser.modules() if on else ()
    compiled = [module for module in modules if module._compiled_call_impl is not None]
    calls = [module._compiled_call_impl for module in compiled]
    try:
        for module in compiled:
            module._compiled_call_impl = None
        yield
    finally:
        for module, call in zip(compiled, calls, strict=True):
            module._compiled_call_impl = call
