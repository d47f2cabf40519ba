"""Which models are in memory, as the worker last told, and what persons asked to change about it. No torch.

Not safe between threads by itself: the engine calls it under its lock.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pipelines.engine.jobs import Loading, MemoryReport, ModelInfo


@dataclass(frozen=True, slots=True)
class Command:
    """One thing to do with a checkpoint. Two that ask for the same are equal."""

    do: Literal["load", "keep", "unload"]
    model: str
    keep: bool = False
    identifier: str = field(default_factory=lambda: uuid.uuid4().hex, compare=False)

    def message(self) -> dict[str, object]:
        """As the worker reads it (see worker.py)."""
        message: dict[str, object] = {"do": self.do, "job": self.identifier, "model": self.model}
        return {**message, "keep": self.keep} if self.do == "keep" else message


class Residency:
    """`memory` is the worker's last report, `loading` the load that goes on by command."""

    def __init__(self) -> None:
        self.memory = MemoryReport()
        self.loading: Loading | None = None
        self._outcome = ""
        self._waiting: list[Command] = []
        self._current: Command | None = None
        self._kept: set[str] = set()
        self._switches: dict[str, float] = {}

    def ask(self, command: Command) -> None:
        """Queue a command as the last one; an equal one that waits is dropped. What is kept is known at once, whenever
        it is carried out."""
        self._outcome = ""
        if command.do == "keep":
            (self._kept.add if command.keep else self._kept.discard)(command.model)
        self._waiting = [*(other for other in self._waiting if other != command), command]

    @property
    def notice(self) -> str:
        """What waits to be done, or why the last command was not; empty where there is nothing to say."""
        names = [command.model for command in self._waiting if command.do != "keep"]
        if names:
            return f"Waiting for the worker: {', '.join(dict.fromkeys(names))}."
        return self._outcome

    def is_kept(self, name: str) -> bool:
        return name in self._kept

    @property
    def names_at_hand(self) -> frozenset[str]:
        """The checkpoints in the memory that is drawn from: the GPU's, where there is one."""
        drawn_from = "gpu" if any(tier.name == "gpu" for tier in self.memory.tiers) else "ram"
        return frozenset(resident.name for resident in self.memory.residents if resident.tier == drawn_from)

    @property
    def is_busy(self) -> bool:
        """Whether the worker carries a command out."""
        return self._current is not None

    def next(self) -> Command | None:
        """The command to hand out now; it is the current one until `ended`."""
        self._current = self._waiting.pop(0) if self._waiting else None
        if self._current is not None and self._current.do == "load":
            self.loading = Loading(what=self._current.model)
        return self._current

    def ended(self, notice: str) -> None:
        """The current command was carried out, or not for the reason that `notice` gives."""
        if notice and self._current is not None and self._current.do == "keep":
            self._kept.discard(self._current.model)
        self._outcome = notice
        self._current = self.loading = None

    def stop_loading(self) -> str | None:
        """Drop the loads that wait. The identifier of the one that goes on, if one does."""
        self._waiting = [command for command in self._waiting if command.do != "load"]
        return self._current.identifier if self._current and self._current.do == "load" else None

    def report(self, values: Mapping[str, Any]) -> None:
        """Take the worker's report."""
        self.memory = MemoryReport.model_validate(values)
        self._switches |= {resident.name: resident.switch_seconds for resident in self.memory.residents}

    def worker_died(self) -> None:
        """Nothing is loaded any more. The next worker is told first what is to be kept."""
        if self._current is not None and self._current.do == "load":
            self._outcome = f"{self._current.model} was not loaded: the worker process ended meanwhile."
        self._current = self.loading = None
        self.memory = MemoryReport()
        waiting = [command for command in self._waiting if command.do != "keep"]
        self._waiting = [*(Command("keep", name, keep=True) for name in sorted(self._kept)), *waiting]

    def described(self, info: ModelInfo) -> ModelInfo:
        """`info` with where its weights are, whether they are kept, and what its last switch took."""
        tiers = {resident.name: resident.tier for resident in self.memory.residents}
        return info.model_copy(
            update={
                "residence": tiers.get(info.name, "disk"),
                "kept": info.name in self._kept,
                "switch_seconds": self._switches.get(info.name),
            }
        )
