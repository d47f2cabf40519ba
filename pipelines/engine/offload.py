"""Weights that wait in main memory and are on the device only while they are used, as a `with`.

diffusers and accelerate do the same by hooks that move modules to and fro. Here nothing is ever moved back: the weights
in main memory stay where they are, and what is on the device is a copy that is let go. So the cache may go on counting
them, and LoRAs merged into them are there for every copy.
"""

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch

from pipelines.engine.policy import Offload

BLOCK_BYTES = 2**29
"""Weights of a block: as much as is brought at a time where a component as a whole is too large."""


def largest_block(component: Any) -> int:
    """Bytes of the largest piece of `component` that is brought at a time by blocks."""
    blocks, others = _split(component, BLOCK_BYTES) if isinstance(component, torch.nn.Module) else ([], [])
    return max([*(_size(_tensors(block)) for block in blocks), _size(others)], default=0)


@contextlib.contextmanager
def offloaded(components: Mapping[str, Any], device: torch.device, offload: Offload, limit: int) -> Iterator[None]:
    """Until the block is left, the weights of `components` come to `device` when they are called. "none" does nothing.

    "model" brings a component whole, until another is called; "group" does so with those of at most `limit` bytes and
    brings the others block by block; "sequential" brings all of them layer by layer. Afterwards no hook is left, and
    every weight lies where it did.
    """
    if offload == "none":
        yield
        return
    stage = _Stage(device)
    with contextlib.ExitStack() as stack:
        stack.callback(stage.clear)
        for component in components.values():
            if isinstance(component, torch.nn.Module):
                whole = offload == "model" or (offload == "group" and _size(_tensors(component)) <= limit)
                stage.add(component, None if whole else BLOCK_BYTES if offload == "group" else 0, stack)
        yield


class _Loan:
    """Tensors of which copies are on the device together. `home` is what each holds in main memory."""

    def __init__(self, tensors: Iterable[torch.Tensor], device: torch.device):
        self._homes = [(tensor, tensor.data) for tensor in tensors]
        self._device = device

    def bring(self, *_: Any) -> None:
        for tensor, home in self._homes:
            if tensor.device.type != self._device.type or tensor.data_ptr() == home.data_ptr():
                tensor.data = tensor.data.to(self._device, non_blocking=True, copy=True)

    def leave(self, *_: Any) -> None:
        for tensor, home in self._homes:
            tensor.data = home


class _Entrance:
    """Stands where diffusers looks for the hook of a component: asked for the device, and told before a method other
    than `forward` (a VAE's `decode`)."""

    def __init__(self, stage: "_Stage", loan: _Loan):
        self.execution_device = stage.device
        self._stage = stage
        self._loan = loan

    def pre_forward(self, *_: Any) -> None:
        self._stage.enter(self._loan)


class _Stage:
    """The device, and which component is on it: of all of them only one."""

    def __init__(self, device: torch.device):
        self.device = device
        self._loans: list[_Loan] = []
        self._current: _Loan | None = None

    def add(self, component: torch.nn.Module, block_bytes: int | None, stack: contextlib.ExitStack) -> None:
        """Bring `component` when it is called: whole, or what is in none of its blocks of at most `block_bytes`, which
        then come one by one. `stack` takes away again what is attached to it."""
        blocks, others = ([], _tensors(component)) if block_bytes is None else _split(component, block_bytes)
        entrance = _Entrance(self, self._loan(others))
        component._hf_hook = entrance  # pyright: ignore[reportArgumentType]
        stack.callback(component.__dict__.pop, "_hf_hook")
        stack.callback(component.register_forward_pre_hook(entrance.pre_forward).remove)
        for block in blocks:
            loan = self._loan(_tensors(block))
            stack.callback(block.register_forward_pre_hook(loan.bring).remove)
            stack.callback(block.register_forward_hook(loan.leave).remove)

    def enter(self, loan: _Loan) -> None:
        if self._current is not None and self._current is not loan:
            self._current.leave()
        self._current = loan
        loan.bring()

    def clear(self) -> None:
        """Let all copies go, once those that are still under way have arrived."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        for loan in self._loans:
            loan.leave()

    def _loan(self, tensors: Iterable[torch.Tensor]) -> _Loan:
        self._loans.append(_Loan(tensors, self.device))
        return self._loans[-1]


def _split(component: torch.nn.Module, block_bytes: int) -> tuple[list[torch.nn.Module], list[torch.Tensor]]:
    """The largest modules inside `component` of at most `block_bytes` (or that cannot be divided), each of which is
    called by itself, and the tensors in none of them."""
    shared = {id(tensor) for tensor, count in _owners(component).items() if count > 1}
    blocks: list[torch.nn.Module] = []
    others: list[torch.Tensor] = []

    def divide(module: torch.nn.Module) -> None:
        children = list(module.children())
        tensors = _tensors(module)
        is_called = module is not component and not isinstance(module, (torch.nn.ModuleList, torch.nn.ModuleDict))
        if is_called and (not children or _size(tensors) <= block_bytes) and not shared & set(map(id, tensors)):
            blocks.extend([module] if tensors else [])
            return
        others.extend((*module.parameters(recurse=False), *module.buffers(recurse=False)))
        for child in children:
            divide(child)

    divide(component)
    return blocks, list({id(tensor): tensor for tensor in others}.values())


def _owners(component: torch.nn.Module) -> Counter[torch.Tensor]:
    """How many modules have each tensor as their own."""
    modules = component.modules()
    return Counter(
        tensor for module in modules for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False))
    )


def _tensors(module: torch.nn.Module) -> list[torch.Tensor]:
    return [*module.parameters(), *module.buffers()]


def _size(tensors: Iterable[torch.Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)
