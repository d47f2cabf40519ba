"""LoRAs on the components of a checkpoint, as a `with`.

They are merged into the weights, so that a step costs what it costs without them. The sums lie beside the weights and
take their place for one use; the weights themselves are not touched, so that afterwards they are bit for bit what they
were, whatever happened in between. The sums are kept until LoRAs are put on other weights, or memory is needed: the
next job mostly has the same LoRAs, for which nothing is computed, or others, for which the memory is there.

Where a device has no room for both, the originals wait in main memory and are copied back.
"""

import contextlib
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch.utils.weak import WeakIdKeyDictionary

from pipelines.engine.components import TierName
from pipelines.engine.deltas import Change, DoesNotFit, changes_of, merge
from pipelines.engine.errors import LoraNumbers, LoraShape, LoraUnusable
from pipelines.engine.families import FAMILIES
from pipelines.engine.jobs import Event, Loading
from pipelines.engine.lora_files import LoraFile, LoraFiles, check_family, peft_configs
from pipelines.engine.lora_keys import (
    TEXT_2,
    TEXT_3,
    TRANSFORMER,
    UNET,
    Layer,
    Parts,
    flat,
    grouped,
    is_whole,
    original_parts,
    original_paths,
)
from pipelines.engine.model import Model
from pipelines.engine.out_of_memory import is_out_of_memory
from pipelines.engine.weights import ALIGNMENT, Slot, new_block, view_of
from presets.drawing import LoraUse
from presets.errors import UserError, shortened

PARKED_BYTES = 2**30
"""Read LoRAs that are kept in memory for their next use."""
LEAST_MATCHED = 0.5
"""Share of its layers that a checkpoint must have for a LoRA to be applied at all."""
WEIGHTS_PER_REPORT = 32
BLOCK_BYTES = 2**26
"""Of merged weights that lie together."""
NUMBERS_COMPARED = 64
"""Of each weight, to see whether it is still the one that LoRAs were merged into."""

Report = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Applied:
    """What stands on the components, put there in `seconds`. `encoders` differs whenever the text encoders' weights do;
    `warnings` are for the person."""

    encoders: Hashable = ()
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class _Parsed:
    """A LoRA in memory: the changes of each layer, to its "weight" and "bias". `unknown` counts what is no change."""

    name: str
    changes: Mapping[Layer, Mapping[str, Change]]
    unknown: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class _Fitted:
    """A LoRA on the weights of one checkpoint, those of the text encoders apart; it has `matched` of `total` layers."""

    denoiser: Sequence[tuple[torch.nn.Parameter, Change]]
    encoders: Sequence[tuple[torch.nn.Parameter, Change]]
    matched: int
    total: int


_Recipe = tuple[tuple[str, float], ...]
"""The LoRAs (their `identity`) that a weight is changed by, with their strengths."""


@dataclass(slots=True)
class _Changes:
    """What is added to one weight."""

    changes: list[tuple[Change, float]] = field(default_factory=list)
    recipe: _Recipe = ()

    def add(self, lora: str, change: Change, strength: float) -> None:
        self.changes.append((change, strength))
        self.recipe += ((lora, strength),)


@dataclass(slots=True)
class _Merged:
    """A weight with LoRAs on it, and some numbers of the weight that it was made of."""

    tensor: torch.Tensor
    recipe: _Recipe
    base: torch.Tensor


_Plan = dict[torch.nn.Parameter, _Changes]


class _Room:
    """Memory for merged weights: in main memory large blocks for many of them, which are read as quickly as the blocks
    of the weights themselves."""

    def __init__(self) -> None:
        self._block = torch.empty(0, dtype=torch.uint8)
        self._taken = 0

    def take(self, like: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """A tensor that lies as `like` does, of any numbers."""
        if like.device.type != "cpu":
            return torch.empty_like(like, dtype=dtype)
        size = -(-like.numel() * dtype.itemsize // ALIGNMENT) * ALIGNMENT
        if self._taken + size > len(self._block):
            self._block, self._taken = new_block(max(size, BLOCK_BYTES)), 0
        slot = Slot(dtype, like.shape, torch.empty_like(like, device="meta").stride(), self._taken)
        self._taken += size
        return view_of(self._block, slot)


class Adapters:
    """Belongs to the thread that owns the device."""

    def __init__(self, files: LoraFiles, parked_bytes: int = PARKED_BYTES):
        self._files = files
        self._limit = parked_bytes
        self._parked: OrderedDict[str, _Parsed] = OrderedDict()
        self._merged: WeakIdKeyDictionary = WeakIdKeyDictionary()
        self._modules: weakref.WeakKeyDictionary[Any, dict[str, tuple[Any, ...]]] = weakref.WeakKeyDictionary()

    @property
    def parked(self) -> tuple[str, ...]:
        """The names of the LoRAs that are kept for their next use, the longest unused first."""
        return tuple(parsed.name for parsed in self._parked.values())

    @property
    def bytes_parked(self) -> int:
        """Bytes of the LoRAs that are kept for their next use."""
        return sum(parsed.size_bytes for parsed in self._parked.values())

    @property
    def bytes_merged(self) -> int:
        """Bytes of the weights that LoRAs were merged into and that are kept."""
        return sum(kept.tensor.nbytes for kept in self._merged.values())

    def bytes_in(self, tier: TierName) -> int:
        """Bytes of what is kept in that memory: LoRAs in main memory, merged weights where the others are."""
        merged = sum(kept.tensor.nbytes for kept in self._merged.values() if kept.tensor.is_cuda == (tier == "gpu"))
        return merged + (self.bytes_parked if tier == "ram" else 0)

    @contextlib.contextmanager
    def applied(
        self, components: Mapping[str, Any], model: Model, uses: Sequence[LoraUse], report: Report
    ) -> Iterator[Applied]:
        """The components, which are those of `model`, with the LoRAs on them until the block is left.

        Before anything is touched raises `LoraNotFound`, `LoraUnusable`, `LoraFamily`, `LoraShape` and `LoraNumbers`;
        while merging what `report` raises. A strength of 0 touches nothing.
        """
        started = time.perf_counter()
        plan: _Plan = {}
        applied = self._planned(components, model, [use for use in uses if any(use.strengths)], plan)
        if plan:
            self._drop_merged_but(plan)
        in_place = not self._has_room(plan)
        originals: list[tuple[torch.nn.Parameter, torch.Tensor]] = []
        room = _Room()
        denoiser = components[FAMILIES[model.family].denoiser]
        wide = denoiser.dtype if plan else torch.float32  # diffusers goes through all modules for it
        try:
            for number, (weight, changes) in enumerate(plan.items()):
                if number % WEIGHTS_PER_REPORT == 0:
                    report(Loading(what="LoRAs", fraction=number / len(plan)))
                if in_place and weight.itemsize > 1:  # 8 bits could not tell the sum from the original
                    originals.append((weight, weight.data.to("cpu", copy=True)))
                    merge(weight.data, weight.data, changes.changes)
                else:
                    originals.append((weight, weight.data))
                    dtype = wide if weight.itemsize == 1 else weight.dtype
                    weight.data = self._with_changes(weight, changes, dtype, room)
            yield replace(applied, seconds=time.perf_counter() - started)
        finally:
            for weight, original in originals:
                if in_place and original.itemsize > 1:
                    weight.data.copy_(original)
                else:
                    weight.data = original

    def forget(self) -> None:
        """Drop the parked LoRAs and the merged weights."""
        self._parked.clear()
        self.forget_merged()

    def forget_merged(self) -> None:
        """Drop the merged weights."""
        self._merged.clear()

    def _drop_merged_but(self, plan: Collection[torch.nn.Parameter]) -> None:
        for weight in [weight for weight in self._merged if weight not in plan]:
            del self._merged[weight]

    def _has_room(self, plan: _Plan) -> bool:
        """Whether the merged weights that are not there yet fit the device beside the others, twice over."""
        new = [weight for weight in plan if weight.is_cuda and weight not in self._merged]
        needed = 2 * sum(weight.nbytes for weight in new)
        return all(torch.cuda.mem_get_info(device)[0] >= needed for device in {weight.device for weight in new})

    def _with_changes(
        self, weight: torch.nn.Parameter, changes: _Changes, dtype: torch.dtype, room: "_Room"
    ) -> torch.Tensor:
        """The sum of `weight` and `changes`, which may have been kept from the last use."""
        base, kept = weight.data, self._merged.get(weight)
        some = _some_of(base)
        if kept is None or (kept.tensor.device, kept.tensor.dtype) != (base.device, dtype):
            kept = _Merged(room.take(base, dtype), (), some)
        elif kept.recipe == changes.recipe and kept.base.equal(some):
            return kept.tensor
        self._merged.pop(weight, None)  # should merging fail, nothing half done is left
        merge(kept.tensor, base, changes.changes)
        self._merged[weight] = _Merged(kept.tensor, changes.recipe, some.clone())
        return kept.tensor

    def _planned(self, components: Mapping[str, Any], model: Model, uses: Sequence[LoraUse], plan: _Plan) -> Applied:
        """Fill `plan` with what is to be added to which weight."""
        encoders, warnings = [], []
        for use in uses:
            file = self._files.find(use.name)
            check_family(file, model.family)
            fitted = self._fitted(file, components, model)
            if fitted.matched < fitted.total:
                warnings.append(
                    f"Of the LoRA {shortened(file.name)} only {fitted.matched} of {fitted.total} layers are applied; "
                    f"{shortened(model.name)} does not have the others."
                )
            for pairs, strength in zip((fitted.denoiser, fitted.encoders), use.strengths, strict=True):
                for weight, change in pairs if strength else ():
                    plan.setdefault(weight, _Changes()).add(file.identity, change, strength)
            if fitted.encoders and use.strengths[1]:
                encoders.append((file.identity, use.strengths[1]))
        return Applied(tuple(sorted(encoders)), tuple(warnings))

    def _fitted(self, file: LoraFile, components: Mapping[str, Any], model: Model) -> _Fitted:
        """Raises `LoraShape`, where too little matches or what matches is of another shape."""
        parsed = self._parsed(file)
        denoiser, encoders, matched = [], [], 0
        for layer, changes in parsed.changes.items():
            modules = self._modules_of(components, layer.component).get(layer.path, ())
            weights = {part: [getattr(module, part, None) for module in modules] for part in changes}
            if not modules or any(weight is None for each in weights.values() for weight in each):
                continue
            matched += 1
            place = encoders if layer.component.startswith("text_encoder") else denoiser
            for part, change in changes.items():
                place.extend(_fitted(file.name, model.name, layer.path, weights[part], change))
        total = len(parsed.changes) + parsed.unknown
        if matched < LEAST_MATCHED * total:
            raise LoraShape(file.name, model.name, f"of its {total} layers it has only {matched}")
        return _Fitted(denoiser, encoders, matched, total)

    def _modules_of(self, components: Mapping[str, Any], name: str) -> dict[str, tuple[Any, ...]]:
        """The modules of a component by their flat paths, those of a UNet or transformer also by their original ones,
        where several may be one."""
        component: Any = components.get(_component_in(components, name))
        if not isinstance(component, torch.nn.Module):
            return {}
        if component not in self._modules:
            modules = {path: module for path, module in component.named_modules() if hasattr(module, "weight")}
            originals = {name: (path,) for name, path in original_paths(modules).items()} if name == UNET else {}
            originals |= original_parts(modules)
            by_original = {original: tuple(modules[path] for path in paths) for original, paths in originals.items()}
            self._modules[component] = by_original | {flat(path): (module,) for path, module in modules.items()}
        return self._modules[component]

    def _parsed(self, file: LoraFile) -> _Parsed:
        """The LoRA's tensors, from memory or from its file."""
        if file.identity not in self._parked:
            self._parked[file.identity] = _read(file)
        self._parked.move_to_end(file.identity)
        while self.bytes_parked > self._limit and len(self._parked) > 1:
            self._parked.popitem(last=False)
        return self._parked[file.identity]


def _read(file: LoraFile) -> _Parsed:
    """Raises `LoraUnusable`, `LoraNumbers` and `LoraShape`. The tensors are copies: the file may change afterwards."""
    try:
        with safe_open(file.path, framework="pt") as opened:
            configs = peft_configs(file.path, opened.metadata() or {})
            layers, others = grouped(opened.keys())
            whole = {layer: parts for layer, parts in layers.items() if is_whole(parts)}
            changes: dict[Layer, Mapping[str, Change]] = {}
            for layer, parts in whole.items():
                config = configs.get(layer.component) or configs.get("")

                def usual_scale(rank: int, layer: Layer = layer, config: Any = config) -> float:
                    return config.scale(layer.path, rank) if config else 1.0

                changes[layer] = changes_of(_tensors(file, opened, parts), usual_scale)
    except (SafetensorError, OSError, ValueError, IndexError, RuntimeError) as problem:
        if is_out_of_memory(problem):
            raise
        first = (str(problem).splitlines() or [type(problem).__name__])[0]
        raise LoraUnusable(file.name, f"it cannot be read ({first[:120]})") from problem
    except DoesNotFit as problem:
        raise LoraUnusable(file.name, str(problem), LoraShape.code) from None
    size = sum(tensor.nbytes for parts in changes.values() for change in parts.values() for tensor in change.tensors)
    return _Parsed(file.name, changes, len(others) + len(layers) - len(whole), size)


def _tensors(file: LoraFile, opened: Any, parts: Parts) -> dict[str, torch.Tensor]:
    tensors = {role: opened.get_tensor(name).clone() for role, name in parts.items()}
    for tensor in tensors.values():
        numbers = tensor.float() if tensor.itemsize == 1 else tensor
        if not bool(torch.isfinite(numbers).all()):
            raise LoraNumbers(file.name)
    return tensors


def _component_in(components: Mapping[str, Any], name: str) -> str:
    """Which of `components` a file means by `name`: kohya's trainer and ComfyUI call a transformer "unet", too, and
    kohya's the T5 the third text encoder, which Flux has as its second."""
    if name == UNET and UNET not in components:
        return TRANSFORMER
    return TEXT_2 if name == TEXT_3 and TEXT_3 not in components else name


def _fitted(
    lora: str, checkpoint: str, path: str, weights: Sequence[Any], change: Change
) -> Iterator[tuple[torch.nn.Parameter, Change]]:
    """`change` on each of `weights`, which stand one below the other for it. Raises `LoraShape`."""
    if any(weight.is_meta or not weight.is_floating_point() for weight in weights):
        reason = "its weights are compressed, or are not in memory as a whole, so that nothing can be merged into them"
        raise UserError(f"LoRAs cannot be applied to {shortened(checkpoint)}: {reason}.", code="E-LORA", field="loras")
    rows = [weight.shape[0] for weight in weights]
    try:
        change.check((sum(rows), *weights[0].shape[1:]))
        parts = (
            [change] if len(rows) == 1 else [change.rows(sum(rows[:n]), sum(rows[: n + 1])) for n in range(len(rows))]
        )
    except DoesNotFit as problem:
        raise LoraShape(lora, checkpoint, f"at {path[:80]} {problem}") from None
    yield from zip(weights, parts, strict=True)


def _some_of(weight: torch.Tensor) -> torch.Tensor:
    """Some numbers of `weight`, which tell whether it still is what it was."""
    each = slice(None, None, max(1, len(weight) // NUMBERS_COMPARED))
    return weight[(each, *[0] * (weight.ndim - 1))]
