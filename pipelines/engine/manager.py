"""PipelineManager: loaded components by what was loaded, least recently used out, and pipelines around them."""

import contextlib
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import diffusers
import torch

from pipelines.engine.adapters import Adapters, Applied
from pipelines.engine.catalog import Catalog
from pipelines.engine.errors import BrokenPicture
from pipelines.engine.families import FAMILIES
from pipelines.engine.hub import download
from pipelines.engine.jobs import Event
from pipelines.engine.loading import Components, Report, load
from pipelines.engine.lora_files import LoraFiles
from pipelines.engine.model import Model
from pipelines.engine.policy import Policy
from pipelines.engine.vae_loading import load_vae
from presets.requests import LoraUse
from presets.settings import Settings


@dataclass(frozen=True, slots=True)
class _Key:
    """What was loaded: from where, in which state its files were, and in which precision."""

    source: str
    identity: str
    dtype: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """A pipeline to run. `load_seconds` is what this use had to wait for its weights, near 0 if they were there.

    `pipe` is this use's own; its components are shared, so what changes them must be undone. `adapters` is what stands
    on them during this use.
    """

    pipe: Any
    model: Model
    load_seconds: float
    adapters: Applied = Applied()


@dataclass(slots=True)
class _Entry:
    """Components in memory. `pins` counts the uses that are going on."""

    components: Components
    size_bytes: int
    pins: int = 0


def _no_report(_event: Event) -> None:
    pass


class PipelineManager:
    """Belongs to the one thread that owns the device."""

    def __init__(self, catalog: Catalog, policy: Policy, settings: Settings):
        self._catalog = catalog
        self._policy = policy
        self._offline = settings.offline
        self._entries: OrderedDict[_Key, _Entry] = OrderedDict()
        self._adapters = Adapters(LoraFiles(catalog))

    @property
    def bytes_loaded(self) -> int:
        """Bytes of all weights that are kept."""
        return sum(entry.size_bytes for entry in self._entries.values())

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
        key = _Key(str(model.path), model.identity, self._policy.dtype_for(model.parameters))
        entry = self._entries.get(key) or self._load(key, model, report)
        self._entries.move_to_end(key)
        entry.pins += 1
        try:
            with (
                self._with_vae(vae, entry.components, model) as components,
                self._adapters.applied(components, model, loras, report) as adapters,
            ):
                seconds = time.perf_counter() - started
                yield Loaded(_assembled(components, model, task), model, seconds, adapters)
        finally:
            entry.pins -= 1
            self._evict(0, keep=key)

    @contextlib.contextmanager
    def _with_vae(self, name: str, components: Components, model: Model) -> Iterator[Components]:
        """`components` with the VAE of that name instead of their own, pinned until the block is left."""
        if not name:
            yield components
            return
        family = FAMILIES[model.family]
        file = self._catalog.find_vae(name)
        file.check_family(family)
        own = components["vae"]
        key = _Key(f"{file.path} for {family.name}", file.identity, str(own.dtype))
        entry = self._entries.get(key) or self._add(key, {"vae": load_vae(file, own, own.dtype)})
        self._entries.move_to_end(key)
        entry.pins += 1
        try:
            yield components | entry.components
        finally:
            entry.pins -= 1

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

    def release(self) -> None:
        """Forget all components that no use holds, and what is kept for the next use of LoRAs."""
        self._adapters.forget()
        for key in self._unpinned():
            self._drop(key)

    def _load(self, key: _Key, model: Model, report: Report) -> _Entry:
        return self._add(key, load(model, self._policy, report))

    def _add(self, key: _Key, components: Components) -> _Entry:
        size = sum(bytes_of(component) for component in components.values())
        self._forget_old_versions(key)
        self._evict(size)
        entry = _Entry(_placed(components, self._policy), size)
        self._entries[key] = entry
        return entry

    def _located(self, model: Model, report: Report) -> Model:
        """`model` with its files on this machine."""
        if model.path is not None:
            return model
        half = self._policy.dtype != "float32"
        return download(model.name, offline=self._offline, half=half, report=report)

    def _forget_old_versions(self, new: _Key) -> None:
        """Drop what was loaded from the same files before they were changed."""
        for key in self._unpinned():
            if key.source == new.source and key.identity != new.identity:
                self._drop(key)

    def _evict(self, incoming: int, *, keep: _Key | None = None) -> None:
        """Drop the least recently used until `incoming` bytes more fit the budget.

        What is pinned stays, and `keep`, so that a model larger than the budget is not loaded for each use anew.
        """
        for key in self._unpinned():
            if key == keep:
                continue
            if self.bytes_loaded + incoming <= self._policy.memory_budget:
                return
            self._drop(key)

    def _unpinned(self) -> list[_Key]:
        """The least recently used first."""
        return [key for key, entry in self._entries.items() if not entry.pins]

    def _drop(self, key: _Key) -> None:
        del self._entries[key]
        if self._policy.device == "cuda":
            torch.cuda.empty_cache()


def bytes_of(component: Any) -> int:
    """Bytes of a component's weights; 0 for a tokenizer or scheduler."""
    if not isinstance(component, torch.nn.Module):
        return 0
    return sum(tensor.nbytes for tensor in (*component.parameters(), *component.buffers()))


def _placed(components: Components, policy: Policy) -> Components:
    """The components on the policy's device, in its memory format and with its attention."""
    for component in components.values():
        if isinstance(component, torch.nn.Module):
            component.to(policy.device)
    for part in {"unet", "transformer", "vae"} & set(components):
        if policy.channels_last and components[part].dtype != torch.float32:
            components[part].to(memory_format=torch.channels_last)
        if policy.attention == "xformers":
            components[part].enable_xformers_memory_efficient_attention()
    return components


def _assembled(components: Components, model: Model, task: str) -> Any:
    family = FAMILIES[model.family]
    missing = dict.fromkeys(part for part in family.optional if part not in components)
    pipe = getattr(diffusers, model.pipelines[task])(**components, **missing, **family.options)
    pipe.set_progress_bar_config(disable=True)
    return pipe
