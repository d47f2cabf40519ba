"""Loaded components and where they are: on the device, in main memory, or nowhere.

A checkpoint's components are held, used, moved and forgotten together; a component that several checkpoints have is
there once. On CUDA there are two tiers, "gpu" above "ram"; on a CPU "ram" is the only one.
"""

import weakref
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch

from pipelines.engine.jobs import MemoryReport, Resident, Tier
from pipelines.engine.weights import new_block

TierName = Literal["gpu", "ram"]

COMPARED = 16 * 2**20
"""Bytes that are compared at a time."""

_IMMATERIAL = {"dtype", "torch_dtype", "architectures", "transformers_version"}
"""What configs say of the files that they lay beside."""


@dataclass(frozen=True, slots=True)
class CheckpointKey:
    """What was loaded: from where, in which state its files were, and in which precision."""

    source: str
    identity: str
    dtype: str


class _Block:
    """A stretch of memory with the tensors in it: in main memory, on the device, or the same in both.

    The tensors point to the device's copy where there is one.
    """

    def __init__(self, storage: torch.UntypedStorage):
        self.size = storage.nbytes()
        self.tensors: list[tuple[torch.Tensor, int, torch.Size, tuple[int, ...]]] = []
        self._copies: dict[TierName, torch.Tensor] = {"ram": torch.empty(0, dtype=torch.uint8).set_(storage)}

    def add(self, tensor: torch.Tensor) -> None:
        self.tensors.append((tensor, int(tensor.storage_offset()), tensor.shape, tensor.stride()))

    @property
    def bytes(self) -> torch.Tensor:
        """One of its copies, where it is compared fastest."""
        return self._copies["ram"] if "ram" in self._copies else self._copies["gpu"]

    def bring(self, tier: TierName, device: torch.device) -> None:
        """Have a copy in `tier`. It may still be under way on return."""
        if tier in self._copies:
            return
        source = self.bytes
        if device.type == "cpu":
            target = new_block(self.size, pinned=source.is_cuda)
        else:
            target = torch.empty(self.size, dtype=torch.uint8, device=device)
        self._copies[tier] = target.copy_(source, non_blocking=True)
        self._point()

    def leave(self, tier: TierName) -> None:
        """Forget the copy in `tier`. Without any the tensors are empty: whoever still holds them holds no memory."""
        used = self._used
        self._copies.pop(tier, None)
        if self._used is not used:  # else who uses the tensors may have put others in their place for a while
            self._point()

    @property
    def _used(self) -> torch.Tensor | None:
        """The copy that the tensors lie in."""
        return self._copies.get("gpu", self._copies.get("ram"))

    def _point(self) -> None:
        copy = self._used
        for tensor, start, shape, strides in self.tensors:
            if copy is None:
                tensor.data = torch.empty(0, dtype=tensor.dtype)
            else:
                empty = torch.empty(0, dtype=tensor.dtype, device=copy.device)
                tensor.data = empty.set_(copy.untyped_storage(), start, shape, strides)


class Component:
    """One part of a checkpoint: a model with weights, or something small (a tokenizer, a scheduler)."""

    def __init__(self, value: Any):
        self.value = value
        self.tiers: set[TierName] = {"ram"}
        self._blocks = _blocks_of(value)

    @property
    def size(self) -> int:
        """Bytes of its weights."""
        return sum(block.size for block in self._blocks)

    def bring(self, tier: TierName, device: torch.device) -> None:
        """Have a copy in `tier`, whose device this is; it is used where it is on the device."""
        for block in self._blocks:
            block.bring(tier, device)
        self.tiers.add(tier)

    def leave(self, tier: TierName) -> None:
        """Forget the copy in `tier`. Without any the component cannot be used any more."""
        self.tiers.discard(tier)
        for block in self._blocks:
            block.leave(tier)

    def equals(self, other: "Component") -> bool:
        """Whether both are the same model with the same weights, bit for bit. Quickly told where they are not."""
        return self.size > 0 and self._shape() == other._shape() and all(map(_same, self._blocks, other._blocks))

    def _shape(self) -> object:
        blocks = [[(tensor.dtype, *rest) for tensor, *rest in block.tensors] for block in self._blocks]
        return type(self.value), _config_of(self.value), blocks


def _blocks_of(value: Any) -> list[_Block]:
    blocks: dict[int, _Block] = {}
    for tensor in (*value.parameters(), *value.buffers()) if isinstance(value, torch.nn.Module) else ():
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in blocks:
            blocks[storage.data_ptr()] = _Block(storage)
        blocks[storage.data_ptr()].add(tensor)
    return list(blocks.values())


def _config_of(value: Any) -> dict[str, Any]:
    """What a model's config says of how it works, not of where it came from."""
    config = getattr(value, "config", {})
    entries = config if isinstance(config, dict) else config.to_dict()
    return {name: entry for name, entry in entries.items() if name[0] != "_" and name not in _IMMATERIAL}


def _same(one: _Block, other: _Block) -> bool:
    pieces = range(0, one.size, COMPARED)
    mine, theirs = one.bytes, other.bytes
    return one.size == other.size and all(
        mine[start : start + COMPARED].equal(theirs[start : start + COMPARED].to(mine.device)) for start in pieces
    )


@dataclass(slots=True, eq=False)
class Holding:
    """A checkpoint in memory. `pins` counts the uses that are going on; `switch_seconds` is what its last switch took.

    It is in "gpu" when all of its parts are; what is in "ram" may also be there, for another checkpoint.
    """

    name: str
    parts: Mapping[str, Component]
    tier: TierName = "ram"
    pins: int = 0
    switch_seconds: float = 0.0

    @property
    def size(self) -> int:
        """Bytes of its weights, those that it shares included."""
        return sum(part.size for part in self.parts.values())


class ComponentCache:
    """Checkpoints in memory, within a budget of bytes for each tier, the least recently used out.

    `budgets` names the tiers, the one that models run from first. `device` is where they run. `others` tells the bytes
    in a tier that are none of its checkpoints' and count against the budget. `kept` are names of checkpoints that are
    not forgotten. Belongs to one thread; only `get` and `is_used` may be called from others.
    """

    def __init__(
        self, budgets: Mapping[TierName, int], device: torch.device, others: Callable[[TierName], int] = lambda _: 0
    ):
        self.kept: set[str] = set()
        self._budgets = dict(budgets)
        self._device = device
        self._others = others
        self._top: TierName = next(iter(budgets))
        self._holdings: OrderedDict[CheckpointKey, Holding] = OrderedDict()
        self._parts: weakref.WeakValueDictionary[tuple[CheckpointKey, str], Component] = weakref.WeakValueDictionary()

    def get(self, key: CheckpointKey) -> Holding | None:
        return self._holdings.get(key)

    def is_used(self) -> bool:
        """Whether any checkpoint is in use now."""
        return any(holding.pins for holding in list(self._holdings.values()))

    def named(self, name: str) -> list[CheckpointKey]:
        """What is held of the checkpoint `name`, as its files are now and were before."""
        return [key for key, holding in self._holdings.items() if holding.name == name]

    def used(self, tier: TierName) -> int:
        """Bytes in `tier`; what is shared counts once."""
        return self._others(tier) + sum(part.size for part in self._components() if tier in part.tiers)

    def must_drop(self, spared: Holding) -> bool:
        """Whether to return to the budgets another checkpoint than `spared` would have to leave."""
        return any(self.used(tier) > budget and self._leaving(tier, spared) for tier, budget in self._budgets.items())

    def is_ready(self, holding: Holding) -> bool:
        """Whether it can run without being moved."""
        return holding.tier == self._top

    def known(self, key: CheckpointKey) -> dict[str, Component]:
        """The parts of a checkpoint that are in memory, as others share them, though itself it was forgotten."""
        return {
            part: component
            for (owner, part), component in list(self._parts.items())
            if owner == key and component.tiers
        }

    def add(self, key: CheckpointKey, name: str, values: Mapping[str, Any]) -> Holding:
        """Hold a checkpoint of these components, in main memory; what is over the budget goes.

        A component that is equal to one that is held is dropped for that one.
        """
        held = self._components()
        known = self.known(key)
        parts = {part: self._shared(Component(value), held) for part, value in values.items()} | known
        self._forget_others(key)
        holding = self._holdings[key] = Holding(name, parts)
        for part, component in parts.items():
            self._parts[key, part] = component
        self.make_room("ram", spared=holding)
        return holding

    def enter(self, key: CheckpointKey) -> None:
        """Have the checkpoint where it can run, as the most recently used.

        Where the device has no room after all, what is not in use leaves it; raises `torch.OutOfMemoryError` if that
        does not help, and the checkpoint stays where it was.
        """
        self._holdings.move_to_end(key)
        holding = self._holdings[key]
        if self.is_ready(holding):
            return
        missing = sum(part.size for part in holding.parts.values() if "gpu" not in part.tiers)
        holding.pins += 1  # what makes way for it must not drive it out of main memory
        try:
            self.make_room("gpu", missing)
            try:
                self._bring(holding)
            except torch.OutOfMemoryError:
                self.clear_device()
                self._bring(holding)
        finally:
            holding.pins -= 1

    def stay(self, key: CheckpointKey, room: int) -> None:
        """Have the checkpoint in main memory alone, as the most recently used, and `room` bytes of the device's budget
        for what comes of it for a while."""
        self._holdings.move_to_end(key)
        holding = self._holdings[key]
        if "gpu" in self._budgets:
            if holding.tier == "gpu":
                self._leave_device(holding)
            self.make_room("gpu", room)

    def make_room(self, tier: TierName, incoming: int = 0, *, spared: Holding | None = None) -> None:
        """Have `incoming` bytes more fit the budget of `tier`, as far as that can be.

        What is in use stays, and `spared`; what is kept leaves the device last and main memory never.
        """
        for holding in self._leaving(tier, spared):
            if self.used(tier) + incoming <= self._budgets[tier]:
                return
            self._leave(holding, tier)

    def settle(self, used: Holding) -> None:
        """Return to the budgets after a use; `used` stays, so that one larger than the budget is not loaded each time
        anew."""
        for tier in self._budgets:
            self.make_room(tier, spared=used if tier == self._top else None)

    def forget(self, key: CheckpointKey) -> None:
        """Drop a checkpoint. Its components stay where another has them, too."""
        holding = self._holdings.pop(key)
        for part in set(holding.parts.values()) - self._components():
            part.leave("gpu")
            part.leave("ram")
        self._free()

    def release(self, spared: CheckpointKey | None = None) -> None:
        """Drop all that is neither in use nor kept, and not `spared`."""
        for key, holding in list(self._holdings.items()):
            if not holding.pins and holding.name not in self.kept and key != spared:
                self.forget(key)

    def report(self) -> MemoryReport:
        tiers = tuple(
            Tier(name=tier, used_bytes=self.used(tier), budget_bytes=budget) for tier, budget in self._budgets.items()
        )
        owners = Counter(id(part) for holding in self._holdings.values() for part in holding.parts.values())
        residents = tuple(
            Resident(
                name=holding.name,
                tier=holding.tier,
                bytes=sum(part.size // owners[id(part)] for part in holding.parts.values()),
                switch_seconds=holding.switch_seconds,
                kept=holding.name in self.kept,
                pinned=holding.pins > 0,
            )
            for holding in reversed(self._holdings.values())
        )
        return MemoryReport(tiers=tiers, residents=residents)

    def _components(self) -> set[Component]:
        return {part for holding in self._holdings.values() for part in holding.parts.values()}

    def _shared(self, component: Component, held: Iterable[Component]) -> Component:
        return next((other for other in held if component.equals(other)), component)

    def _forget_others(self, key: CheckpointKey) -> None:
        """Drop what was loaded from the same files before they were changed."""
        for old, holding in list(self._holdings.items()):
            if old.source == key.source and old.identity != key.identity and not holding.pins:
                self.forget(old)

    def _leaving(self, tier: TierName, spared: Holding | None) -> list[Holding]:
        """Who may leave `tier`, the first first. From main memory first go copies of what is also on the device."""
        holdings = list(self._holdings.values())
        free = [holding for holding in holdings if not holding.pins and holding is not spared]
        if tier == "gpu":
            return sorted((holding for holding in free if holding.tier == "gpu"), key=lambda one: one.name in self.kept)
        doubled = [holding for holding in holdings if holding.tier == "gpu" and holding is not spared]
        return doubled + [holding for holding in free if holding.tier == "ram" and holding.name not in self.kept]

    def _leave(self, holding: Holding, tier: TierName) -> None:
        if tier == "ram" and holding.tier == "gpu":
            for part in holding.parts.values():
                part.leave("ram")
        elif tier == "ram" or not self._fits_memory(holding):
            self.forget(next(key for key, other in self._holdings.items() if other is holding))
        else:
            self._leave_device(holding)

    def _fits_memory(self, holding: Holding) -> bool:
        """Whether what is on the device may come back to main memory, which is made room in for it."""
        missing = sum(part.size for part in holding.parts.values() if "ram" not in part.tiers)
        self.make_room("ram", missing, spared=holding)
        return self.used("ram") + missing <= self._budgets["ram"] or holding.name in self.kept

    def _leave_device(self, holding: Holding) -> None:
        holding.tier = "ram"
        staying = {part for other in self._holdings.values() if other.tier == "gpu" for part in other.parts.values()}
        leaving = {part for part in holding.parts.values() if "gpu" in part.tiers} - staying
        for part in leaving:
            part.bring("ram", torch.device("cpu"))
        self._wait()
        for part in leaving:
            part.leave("gpu")
        self._free()

    def _bring(self, holding: Holding) -> None:
        try:
            for part in holding.parts.values():
                part.bring("gpu", self._device)
            self._wait()
        except BaseException:
            self._leave_device(holding)
            raise
        holding.tier = "gpu"

    def clear_device(self) -> None:
        """Have all leave the device that may."""
        for holding in self._leaving("gpu", None):
            self._leave(holding, "gpu")
        self._free()

    def _wait(self) -> None:
        """Until all copies are made."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)

    def _free(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
