"""PipelineManager: checkpoints brought to where they run, and pipelines around their components."""

import contextlib
import gc
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import diffusers
import torch

from pipelines.engine.adapters import Adapters, Applied
from pipelines.engine.annotators import Annotators
from pipelines.engine.attention import attending
from pipelines.engine.catalog import Catalog
from pipelines.engine.compiling import compile_blocks, interpreted
from pipelines.engine.components import CheckpointKey, ComponentCache, Holding, TierName
from pipelines.engine.control_files import ControlFiles
from pipelines.engine.control_loading import load_control
from pipelines.engine.errors import BrokenPicture, OutOfMemory
from pipelines.engine.face_restorer_files import FaceRestorerFiles
from pipelines.engine.face_restorers import FaceRestorer, FaceRestorers
from pipelines.engine.families import FAMILIES
from pipelines.engine.headers import BrokenFile
from pipelines.engine.hub import download
from pipelines.engine.ip_adapter_files import IpAdapterFiles
from pipelines.engine.jobs import Event, Loading, MemoryReport
from pipelines.engine.loading import Components, Report, files_read, load
from pipelines.engine.lora_files import LoraFiles
from pipelines.engine.model import Model
from pipelines.engine.motion_files import ANIMATION, MotionFiles
from pipelines.engine.motion_loading import load_motion, moving
from pipelines.engine.narrow import computing, store
from pipelines.engine.offload import largest_block, offloaded
from pipelines.engine.plans import Demand, Plan, decoding_bytes, plans_for
from pipelines.engine.policy import Attention, Policy
from pipelines.engine.upscaler_files import UpscalerFiles
from pipelines.engine.upscalers import Upscaler, Upscalers
from pipelines.engine.vae_loading import load_vae
from pipelines.engine.vae_tiling import tiling
from pipelines.engine.weight_files import RESTS, read_ahead
from presets.drawing import LoraUse
from presets.errors import UserError
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
    on them during this use, `plan` where their weights lie, `attention` what computes the denoiser's, `dtype` the
    precision of that ("float32"). `controls` are the control models asked for, by name. `seconds` is what all of it but
    the adapters took.
    """

    pipe: Any
    model: Model
    switch: Switch
    adapters: Applied
    plan: Plan
    attention: Attention
    dtype: str
    controls: Mapping[str, Any]
    seconds: float


@dataclass(frozen=True, slots=True)
class _Use:
    """A use that was begun: of `pixels` pixels, by the first of `plans`, which the others can take the place of."""

    key: CheckpointKey
    pixels: int
    plans: tuple[Plan, ...]


def _no_report(_event: Event) -> None:
    pass


class PipelineManager:
    """Belongs to the one thread that owns the device; `read_ahead` may be called from any.

    `annotators` are the files of detectors, `ip_adapters` those of IP-Adapters, which `tool` keeps in memory.
    """

    def __init__(self, catalog: Catalog, policy: Policy, settings: Settings):
        self.annotators = Annotators(settings.model_roots, offline=settings.offline)
        self._catalog = catalog
        self._policy = policy
        self._offline = settings.offline
        self._device = torch.device(policy.device)
        self.ip_adapters = IpAdapterFiles(catalog)
        self._adapters = Adapters(LoraFiles(catalog))
        self._controls = ControlFiles(catalog)
        self._motions = MotionFiles(catalog)
        self._cache = ComponentCache(policy.budgets, self._device, self._adapters.bytes_in)
        self._upscalers = Upscalers(UpscalerFiles(catalog), self._cache, policy)
        self._face_restorers = FaceRestorers(FaceRestorerFiles(catalog), self._cache, policy)
        self._last: _Use | None = None
        self._failed: dict[CheckpointKey, _Use] = {}

    @property
    def bytes_loaded(self) -> int:
        """Bytes of all weights that are in memory, of the device or of the machine, LoRAs and copies included."""
        return sum(tier.used_bytes for tier in self.memory().tiers)

    def memory(self) -> MemoryReport:
        """Which checkpoints are where, the most recently used first, and which LoRAs are in main memory."""
        return self._cache.report().model_copy(update={"loras": self._adapters.parked})

    @contextlib.contextmanager
    def pipeline(
        self,
        checkpoint: str,
        task: str = "text-to-image",
        *,
        loras: Sequence[LoraUse] = (),
        vae: str = "",
        controls: Sequence[str] = (),
        motion: str = "",
        size: tuple[int, int] | None = None,
        report: Report = _no_report,
    ) -> Iterator[Loaded]:
        """The pipeline of `checkpoint` ("" is the default) for `task`, its weights pinned until the block is left, and
        until then with the LoRAs on them.

        `vae` names a file of the vae folder, "" is the checkpoint's own; `controls` names control models, and `motion`
        a motion module, with which the pipeline draws animations. `size` is the (width, height) of the largest picture,
        by which memory is planned.
        Raises the errors of models and LoRAs (`pipelines/engine/errors.py`) and what `report` raises; whatever was
        loaded before then still is, and as it was.
        """
        started = time.perf_counter()
        model = self._located(self._catalog.find(checkpoint), report)
        model.check_task(task)
        self._last = None
        beside = self._beside_bytes(model, controls, motion)
        holding, switch, plan = self._switched(model, started, report, size or (0, 0), beside)
        holding.pins += 1
        try:
            with (
                self._with_vae(vae, holding, model, plan) as components,
                self._with_controls(controls, components, model, plan, report) as followed,
                self._adapters.applied(components, model, loras, report) as adapters,
                self._with_motion(motion, components, model, plan, report) as drawn,
                self._arranged({**drawn, **followed}, drawn[FAMILIES[model.family].denoiser], plan) as (
                    attention,
                    dtype,
                ),
            ):
                pipe = _animating(drawn, model) if motion else _assembled(drawn, model, task)
                seconds = time.perf_counter() - started - adapters.seconds
                yield Loaded(pipe, model, switch, adapters, plan, attention, dtype, followed, seconds)
        finally:
            holding.pins -= 1
            self._settle(holding)

    @contextlib.contextmanager
    def upscaler(self, name: str, report: Report = _no_report) -> Iterator[Upscaler]:
        """The upscaling model `name`, ready to run and pinned until the block is left, also within a use of a pipeline.

        Raises `UpscalerNotFound`, `UpscalerRefused` and what `report` raises.
        """
        last, self._last = self._last, None
        with self._upscalers.ready(name, report) as upscaler:
            yield upscaler
        self._last = last

    @contextlib.contextmanager
    def face_restorer(self, name: str, report: Report = _no_report) -> Iterator[FaceRestorer]:
        """As `upscaler`, the model `name` that restores faces. Raises `FaceRestorerNotFound`, `FaceRestorerRefused`."""
        last, self._last = self._last, None
        with self._face_restorers.ready(name, report) as restorer:
            yield restorer
        self._last = last

    @contextlib.contextmanager
    def _with_vae(self, name: str, holding: Holding, model: Model, plan: Plan) -> Iterator[Components]:
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
            other = self._cache.add(key, f"{file.name} (VAE)", {"vae": vae})
        self._place(key, other, plan)
        other.pins += 1
        try:
            yield components | {"vae": other.parts["vae"].value}
        finally:
            other.pins -= 1

    @contextlib.contextmanager
    def _with_controls(
        self, names: Sequence[str], components: Components, model: Model, plan: Plan, report: Report
    ) -> Iterator[Components]:
        """The control models of these names, pinned until the block is left."""
        held: dict[str, Holding] = {}
        try:
            for name in dict.fromkeys(names):
                held[name] = self._control(name, components, model, plan, report)
                held[name].pins += 1
            yield {name: holding.parts["control"].value for name, holding in held.items()}
        finally:
            for holding in held.values():
                holding.pins -= 1

    def _control(self, name: str, components: Components, model: Model, plan: Plan, report: Report) -> Holding:
        file = self._controls.find(name, model)
        dtype = components["vae"].dtype
        key = CheckpointKey(f"{file.path} for {model.family}", file.identity, str(dtype))

        def build() -> Components:
            control = load_control(file, components["unet"], dtype)
            if self._policy.channels_last and dtype != torch.float32:
                control.to(memory_format=torch.channels_last)
            return {"control": control}

        return self._beside(key, file.name, file.kind, build, plan, report)

    def _beside_bytes(self, model: Model, controls: Sequence[str], motion: str) -> dict[str, int]:
        """The weights of what is used beside a checkpoint, as its files have them, by the component that they are, or
        are added to."""
        sizes = {f"control {name}": self._controls.find(name, model).size_bytes for name in controls}
        if motion:
            sizes[FAMILIES[model.family].denoiser] = self._motions.find(motion, model).size_bytes
        return sizes

    def _beside(
        self, key: CheckpointKey, name: str, kind: str, build: Callable[[], Components], plan: Plan, report: Report
    ) -> Holding:
        """What is used beside a checkpoint, where the plan wants it: what `build` loads unless it is in memory."""
        holding = self._cache.get(key)
        if holding is None:
            report(Loading(what=name))
            holding = self._cache.add(key, f"{name} ({kind})", build())
        self._place(key, holding, plan)
        return holding

    @contextlib.contextmanager
    def _with_motion(
        self, name: str, components: Components, model: Model, plan: Plan, report: Report
    ) -> Iterator[Components]:
        """The components with a UNet that draws frames together by the motion module of that name, which is pinned
        until the block is left."""
        if not name:
            yield components
            return
        file = self._motions.find(name, model)
        dtype = components["vae"].dtype
        key = CheckpointKey(str(file.path), file.identity, str(dtype))
        holding = self._beside(
            key, file.name, "motion module", lambda: {"motion": load_motion(file, dtype)}, plan, report
        )
        holding.pins += 1
        try:
            yield {**components, "unet": moving(components["unet"], holding.parts["motion"].value, file.name)}
        finally:
            holding.pins -= 1

    @contextlib.contextmanager
    def tool(self, key: CheckpointKey, name: str, build: Callable[[], Components]) -> Iterator[Components]:
        """The parts of a small model beside the checkpoints, on the device and pinned until the block is left.

        Unless they are in memory they are what `build` loads, of the files that `key` names. They count against the
        budgets and go when they are the least recently used; `name` is what the report of memory calls them.
        """
        around = self._cache.get(self._last.key) if self._last else None
        if around is None or not around.pins:
            self._last = None  # memory that runs out here tells nothing of a checkpoint that was used before
        holding = self._cache.get(key) or self._cache.add(key, name, build())
        self._cache.enter(key)
        holding.pins += 1
        try:
            yield {part: component.value for part, component in holding.parts.items()}
        finally:
            holding.pins -= 1
            self._settle(holding)

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
        self._last = None
        holding, *_ = self._switched(self._located(self._catalog.find(name), report), started, report, (0, 0), {})
        self._settle(holding)

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
        """Bring the files of the checkpoint `name` into the system's memory for files, if it is not loaded; slowly
        while another is in use. Any thread may call it. Lasts as long as the reading, and does nothing where that is
        not possible."""
        with contextlib.suppress(UserError, BrokenFile, OSError):
            model = self._catalog.find(name)
            if model.path is not None and self._cache.get(self._key(model)) is None:
                for path in files_read(model):
                    read_ahead(path, self._cache.is_used, RESTS[self._policy.device])

    def release(self) -> None:
        """Forget all components that no use holds and nobody wants kept, and what is kept for the next use of LoRAs."""
        self._adapters.forget()
        self._cache.release()

    def relieve(self, tier: TierName) -> str | None:
        """After memory ran out in `tier`: forget or move what is not in use, and have the next use like the last one
        take a plan that needs less. What it will do otherwise, as the end of a sentence; None where nothing is left."""
        last, self._last = self._last, None
        before = self.bytes_loaded
        self._adapters.forget()
        gc.collect()  # what was computed may hang in circles
        if tier == "gpu":
            self._cache.clear_device()
            if last is not None and len(last.plans) > 1:
                self._failed[last.key] = last
                return f"with {last.plans[1]}"
        else:
            self._cache.release(spared=last.key if last else None)
        return "with nothing else in memory" if self.bytes_loaded < before else None

    def _switched(
        self, model: Model, started: float, report: Report, size: tuple[int, int], beside: Mapping[str, int]
    ) -> tuple[Holding, Switch, Plan]:
        """The components of `model` where the plan for a picture of `size` wants them, with what is used `beside` them
        (bytes), and what that cost since `started`."""
        key = self._key(model)
        holding = self._cache.get(key)
        how = "from disk" if holding is None else "resident" if self._cache.is_ready(holding) else "from RAM"
        if holding is None:
            self._adapters.forget_merged()  # of other weights, which these may need the room of
            components = load(model, self._policy, report, self._cache.known(key))
            self._prepare(components.get(FAMILIES[model.family].denoiser))
            holding = self._cache.add(key, model.name, components)
        self._last = self._planned(key, holding, size, beside)
        plan = self._last.plans[0]
        self._place(key, holding, plan)
        seconds = time.perf_counter() - started
        if how != "resident":
            holding.switch_seconds = seconds
        return holding, Switch(seconds, how), plan

    def _prepare(self, denoiser: Any) -> None:
        """Have `denoiser`, if it was loaded just now, as the policy wants it for all uses."""
        if denoiser is not None and self._policy.weight_storage != "full":
            store(denoiser, self._policy.weight_storage, pinned=self._device.type == "cuda")
        if denoiser is not None and self._policy.compile:
            compile_blocks(denoiser)

    def _planned(self, key: CheckpointKey, holding: Holding, size: tuple[int, int], beside: Mapping[str, int]) -> _Use:
        """How a picture of `size` is to be drawn: as the policy has it, or with less where that failed before."""
        vae: Any = holding.parts["vae"].value
        parts = Counter({name: part.size for name, part in holding.parts.items()}) + Counter(beside)
        overflows = "text_encoder_2" in parts and vae.config.get("force_upcast", False)
        fits = parts.total() <= self._policy.resident_limit
        block = 0 if fits else max(largest_block(part.value) for part in holding.parts.values())
        decode = decoding_bytes(vae.config, size, 4 if overflows else vae.dtype.itemsize)
        plans, pixels = plans_for(self._policy, Demand(parts, block, decode)), size[0] * size[1]
        failed = self._failed.get(key)
        if failed is not None and pixels >= failed.pixels:
            plans = tuple(plan for plan in plans if plan.offload in {less.offload for less in failed.plans[1:]})
        return _Use(key, pixels, plans)

    def _settle(self, used: Holding) -> None:
        """Return to the budgets after a use. What is kept for LoRAs goes before a checkpoint has to."""
        if self._cache.must_drop(used):
            self._adapters.forget()
        self._cache.settle(used)

    def _place(self, key: CheckpointKey, holding: Holding, plan: Plan) -> None:
        if plan.offload == "none":
            if not self._cache.is_ready(holding):
                self._adapters.forget_merged()
            self._cache.enter(key)
        else:
            self._cache.stay(key, min(holding.size, self._policy.resident_limit))

    @contextlib.contextmanager
    def _arranged(self, components: Components, denoiser: Any, plan: Plan) -> Iterator[tuple[Attention, str]]:
        """The components as `plan` and the policy want them until the block is left; gives the denoiser's attention and
        dtype."""
        dtype = str(denoiser.dtype).removeprefix("torch.")  # asked once: diffusers goes through all modules for it
        attention = self._policy.attention_for(dtype)
        with (
            interpreted(denoiser, plan.offload != "none"),
            offloaded(components, self._device, plan.offload, self._policy.resident_limit),
            contextlib.nullcontext()
            if self._policy.weight_storage == "full"
            else computing(denoiser, self._policy.weight_storage),
            tiling(components["vae"], plan.vae_tiling),
            attending(denoiser, attention) as computed_by,
        ):
            yield computed_by, dtype

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


def for_task(loaded: Loaded, task: str) -> Any:
    """The pipeline for another task of what was loaded; the caller has checked that the checkpoint can do it."""
    components = {name: part for name, part in loaded.pipe.components.items() if part is not None}
    return _assembled(components, loaded.model, task)


def _assembled(components: Components, model: Model, task: str) -> Any:
    family = FAMILIES[model.family]
    missing = dict.fromkeys(part for part in family.optional if part not in components)
    pipe = getattr(diffusers, model.pipelines[task])(**components, **missing, **family.options)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _animating(components: Components, model: Model) -> Any:
    """The pipeline of a UNet that draws frames together."""
    pipe = getattr(diffusers, model.pipelines[ANIMATION])(**components, motion_adapter=None)
    pipe.set_progress_bar_config(disable=True)
    pipe.image_processor = pipe.video_processor  # as the other pipelines call it
    return pipe
