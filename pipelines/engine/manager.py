"""PipelineManager: checkpoints brought to where they run, and pipelines around their components."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import diffusers
import torch

from pipelines.engine.adapters import Adapters, Applied
from pipelines.engine.catalog import Catalog
from pipelines.engine.components import CheckpointKey, ComponentCache, Holding
from pipelines.engine.errors import BrokenPicture, OutOfMemory
from pipelines.engine.families import FAMILIES
from pipelines.engine.headers import BrokenFile
from pipelines.engine.hub import download
from pipelines.engine.jobs import Event, MemoryReport
from pipelines.engine.loading import Components, Report, files_read, load
from pipelines.engine.lora_files import LoraFiles
from pipelines.engine.model import Model
from pipelines.engine.policy import Policy
from pipelines.engine.vae_loading import load_vae
from pipelines.engine.weights import read_ahead
from presets.errors import UserError
from presets.requests import LoraUse
from presets.settings import Settings


@dataclass(frozen=True, slots=True)
class Switch:
    """What a use waited for its weights, in seconds, and where they were: ready to run, in main memory, or on disk."""

    seconds: float
    how: Literal["resident", "from RAM", "from disk"]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A pipeline to run.

    `pipe` is this use's own; its components are shared, so what changes them must be undone. `adapters` is what stands
    on them during this use.
    """

    pipe: Any
    model: Model
    switch: Switch
    adapters: Applied = Applied()


def _no_report(_event: Event) -> None:
    pass


class PipelineManager:
    """Belongs to the one thread that owns the device; `read_ahead` may be called from any."""

    def __init__(self, catalog: Catalog, policy: Policy, settings: Settings):
        self._catalog = catalog
        self._policy = policy
        self._offline = settings.offline
        self._cache = ComponentCache(policy.budgets, torch.device(policy.device))
        self._adapters = Adapters(LoraFiles(catalog))

    @property
    def bytes_loaded(self) -> int:
        """Bytes of all weights that are in memory, of the device or of the machine."""
        return sum(tier.used_bytes for tier in self.memory().tiers)

    def memory(self) -> MemoryReport:
        """Which checkpoints are where, the most recently used first."""
        return self._cache.report()

    @contextlib.contextmanager
    def pipeline(
        self,
        checkpoint: str,
        task: str = "text-to-image",
        *,
        loras: Sequence[LoraUse] = (),
        vae: str = "",
        report: Report = _no_report,
    ) -> Iterator[Loaded]:
        """The pipeline of `checkpoint` ("" is the default) for `task`, its weights pinned until the block is left, and
        until then with the LoRAs on them.

        `vae` names a file of the vae folder, "" is the checkpoint's own.
        Raises the errors of models and LoRAs (`pipelines/engine/errors.py`) and what `report` raises; whatever was
        loaded before then still is, and as it was.
        """
        started = time.perf_counter()
        model = self._located(self._catalog.find(checkpoint), report)
        model.check_task(task)
        holding, switch = self._switched(model, started, report)
        holding.pins += 1
        try:
            with (
                self._with_vae(vae, holding, model) as components,
                self._adapters.applied(components, model, loras, report) as adapters,
            ):
                yield Loaded(_assembled(components, model, task), model, switch, adapters)
        finally:
            holding.pins -= 1
            self._cache.settle(holding)

    @contextlib.contextmanager
    def _with_vae(self, name: str, holding: Holding, model: Model) -> Iterator[Components]:
        """The components with the VAE of that name instead of their own, pinned until the block is left."""
        components = {part: component.value for part, component in holding.parts.items()}
        if not name:
            yield components
            return
        family = FAMILIES[model.family]
        file = self._catalog.find_vae(name)
        file.check_family(family)
        own = components["vae"]
        key = CheckpointKey(f"{file.path} for {family.name}", file.identity, str(own.dtype))
        other = self._cache.get(key)
        if other is None:
            vae: Any = load_vae(file, own, own.dtype)
            if self._policy.channels_last and own.dtype != torch.float32:
                vae.to(memory_format=torch.channels_last)
            other = self._cache.add(key, f"{file.name} (VAE)", _prepared({"vae": vae}, self._policy))
        self._cache.enter(key)
        other.pins += 1
        try:
            yield components | {"vae": other.parts["vae"].value}
        finally:
            other.pins -= 1

    def broken(self, model: Model, vae: str, parts: Sequence[str]) -> BrokenPicture:
        """The error of a picture without numbers; files whose weights (`parts`) hold none are not used again until they
        change."""
        if "vae" in parts and vae:
            error = BrokenPicture(vae, ["vae"], field="vae")
            self._catalog.mark(self._catalog.find_vae(vae), error)
        else:
            error = BrokenPicture(model.name, parts)
            if parts:
                self._catalog.mark(model, error)
        return error

    def load(self, name: str, report: Report = _no_report) -> None:
        """Have the checkpoint `name` ready to run. Raises as `pipeline` does."""
        started = time.perf_counter()
        holding, _ = self._switched(self._located(self._catalog.find(name), report), started, report)
        self._cache.settle(holding)

    def keep(self, name: str, keep: bool) -> None:
        """Say whether the checkpoint `name`, once it is loaded, stays in memory until the process ends.

        Raises `ModelNotFound`, and `OutOfMemory` where what is kept would not fit the budget.
        """
        model = self._named(name)
        if not keep:
            self._cache.kept.discard(model)
        elif model not in self._cache.kept:
            self._check_budget([*self._cache.kept, model])
            self._cache.kept.add(model)

    def unload(self, name: str) -> None:
        """Drop the checkpoint `name` from memory, kept or not. Nothing happens if it is not there.

        Raises `ModelNotFound` for a name that neither the catalog nor the memory knows.
        """
        model = self._named(name)
        self._cache.kept.discard(model)
        for key in self._cache.named(model):
            self._cache.forget(key)

    def read_ahead(self, name: str) -> None:
        """Bring the files of the checkpoint `name` into the system's memory for files, if it is not loaded. Any thread
        may call it. Lasts as long as the reading, and does nothing where that is not possible."""
        with contextlib.suppress(UserError, BrokenFile, OSError):
            model = self._catalog.find(name)
            if model.path is not None and self._cache.get(self._key(model)) is None:
                for path in files_read(model):
                    read_ahead(path)

    def release(self) -> None:
        """Forget all components that no use holds and nobody wants kept, and what is kept for the next use of LoRAs."""
        self._adapters.forget()
        self._cache.release()

    def _switched(self, model: Model, started: float, report: Report) -> tuple[Holding, Switch]:
        """The components of `model` where they can run, and what that cost since `started`."""
        key = self._key(model)
        holding = self._cache.get(key)
        how = "from disk" if holding is None else "resident" if self._cache.is_ready(holding) else "from RAM"
        if holding is None:
            components = load(model, self._policy, report, self._cache.known(key))
            holding = self._cache.add(key, model.name, _prepared(components, self._policy))
        self._cache.enter(key)
        seconds = time.perf_counter() - started
        if how != "resident":
            holding.switch_seconds = seconds
        return holding, Switch(seconds, how)

    def _key(self, model: Model) -> CheckpointKey:
        return CheckpointKey(str(model.path), model.identity, self._policy.dtype_for(model.parameters))

    def _named(self, name: str) -> str:
        """The full name of the checkpoint that `name` means, which may be in memory though its files are gone."""
        return name if self._cache.named(name) else self._catalog.find(name).name

    def _check_budget(self, names: Sequence[str]) -> None:
        """Raise `OutOfMemory` if these checkpoints together are more than what main memory may hold."""
        wanted = sum(self._size(name) for name in names)
        budget = self._policy.budgets["ram"]
        if wanted > budget:
            raise OutOfMemory(
                f"{names[-1]} cannot be kept in memory: all that is kept would need {wanted / 2**30:.1f} GiB, and "
                f"{budget / 2**30:.1f} GiB are for weights."
            )

    def _size(self, name: str) -> int:
        held = [self._cache.get(key) for key in self._cache.named(name)]
        return max((holding.size for holding in held if holding), default=0) or self._catalog.find(name).size_bytes

    def _located(self, model: Model, report: Report) -> Model:
        """`model` with its files on this machine."""
        if model.path is not None:
            return model
        half = self._policy.dtype != "float32"
        return download(model.name, offline=self._offline, half=half, report=report)


def _prepared(components: Components, policy: Policy) -> Components:
    """The components with the policy's attention."""
    for part in {"unet", "vae"} & set(components):
        if policy.attention == "xformers":
            components[part].enable_xformers_memory_efficient_attention()
    return components


def _assembled(components: Components, model: Model, task: str) -> Any:
    family = FAMILIES[model.family]
    missing = dict.fromkeys(part for part in family.optional if part not in components)
    pipe = getattr(diffusers, model.pipelines[task])(**components, **missing, **family.options)
    pipe.set_progress_bar_config(disable=True)
    return pipe
