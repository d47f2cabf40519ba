"""Models that make pictures larger, loaded by spandrel and held beside the checkpoints. Runs in the worker."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy
import torch
from PIL import Image
from safetensors import SafetensorError

from pipelines.engine.components import CheckpointKey, ComponentCache, Holding
from pipelines.engine.errors import BrokenPicture, UpscalerRefused
from pipelines.engine.headers import BrokenFile
from pipelines.engine.jobs import Loading
from pipelines.engine.loading import Report
from pipelines.engine.out_of_memory import is_out_of_memory
from pipelines.engine.pickles import UnsafeFile
from pipelines.engine.policy import Policy
from pipelines.engine.upscaler_files import UpscalerFile, UpscalerFiles
from pipelines.engine.weight_files import mapped
from presets.errors import UserError

if TYPE_CHECKING:
    from spandrel import ImageModelDescriptor

MODEL, DESCRIPTOR = "model", "descriptor"


@dataclass(frozen=True, slots=True)
class Upscaler:
    """A model ready to run. `seconds` is what was waited for its weights. `failed` makes the error of a picture without
    numbers."""

    file: UpscalerFile
    descriptor: "ImageModelDescriptor[Any]"
    seconds: float
    failed: Callable[[], UserError]

    @property
    def scale(self) -> int:
        """Times as wide and as high."""
        return self.descriptor.scale

    @property
    def can_be_tiled(self) -> bool:
        return self.descriptor.tiling.name != "INTERNAL"

    @property
    def about(self) -> dict[str, Any]:
        """What else stands in the metadata of its pictures."""
        return {
            "architecture": self.descriptor.architecture.name,
            "scale": self.scale,
            "device": self.descriptor.device.type,
            "dtype": str(self.descriptor.dtype).removeprefix("torch."),
        }

    def enlarge(self, picture: Image.Image, check: Callable[[], None]) -> Image.Image:
        """`picture` (RGB) as the model makes it. `check` is called again and again meanwhile, and may raise to end it.

        Raises `BrokenPicture` where the model gives no numbers, and what is raised where memory runs out.
        """
        pixels = torch.from_numpy(numpy.array(picture)).permute(2, 0, 1)[None]
        values = pixels.to(self.descriptor.device, self.descriptor.dtype) / 255
        with _checked(self.descriptor.model, check), torch.inference_mode():
            made = self._run(values).float()
            if not made.isfinite().all():
                raise self.failed()
            made = (made.clamp(0, 1) * 255).round().byte()
        return Image.fromarray(made[0].permute(1, 2, 0).cpu().numpy())

    def _run(self, values: torch.Tensor) -> torch.Tensor:
        """(1, 3, height, width) in [0, 1], by models of one, three or four channels."""
        channels = self.descriptor.input_channels
        if channels == 1:
            return torch.cat([self.descriptor(channel) for channel in values.split(1, dim=1)], dim=1)
        if channels == 4:
            values = torch.cat([values, torch.ones_like(values[:, :1])], dim=1)
        return self.descriptor(values)[:, :3]


class Upscalers:
    """Belongs to the one thread that owns the device; its models stand in `cache`, within the same budgets as all."""

    def __init__(self, files: UpscalerFiles, cache: ComponentCache, policy: Policy):
        self._files = files
        self._cache = cache
        self._dtype = torch.float16 if policy.device == "cuda" and policy.dtype != "float32" else torch.float32

    @contextlib.contextmanager
    def ready(self, name: str, report: Report) -> Iterator[Upscaler]:
        """The model `name` where it can run, its weights pinned until the block is left.

        Raises `UpscalerNotFound`, `UpscalerRefused` and what `report` raises.
        """
        started = time.perf_counter()
        file = self._files.find(name)
        key = CheckpointKey(str(file.path), file.identity, str(self._dtype))
        holding = self._cache.get(key) or self._loaded(key, file, report)
        self._cache.enter(key)
        seconds = time.perf_counter() - started
        holding.pins += 1
        try:
            descriptor = holding.parts[DESCRIPTOR].value
            yield Upscaler(file, descriptor, seconds, lambda: self._failed(file, descriptor.model))
        finally:
            holding.pins -= 1
            self._cache.settle(holding)

    def _loaded(self, key: CheckpointKey, file: UpscalerFile, report: Report) -> Holding:
        report(Loading(what=file.name))
        try:
            descriptor = load_upscaler(file)
        except UpscalerRefused as error:
            self._files.mark(file, error)
            raise
        if descriptor.supports_half:
            descriptor.model.to(self._dtype)
        parts = {MODEL: descriptor.model, DESCRIPTOR: descriptor}
        holding = self._cache.add(key, f"{file.name} (upscaler)", parts)
        holding.parts[DESCRIPTOR].value._model = holding.parts[MODEL].value  # may be another file's, with equal weights
        return holding

    def _failed(self, file: UpscalerFile, model: torch.nn.Module) -> UserError:
        sound = all(bool(tensor.isfinite().all()) for tensor in model.state_dict().values())
        error = BrokenPicture(file.name, () if sound else (MODEL,), field="upscaler")
        if not sound:
            self._files.mark(file, error)
        return error


def load_upscaler(file: UpscalerFile) -> "ImageModelDescriptor[Any]":
    """The model of `file` on the CPU, in float32. Raises `UpscalerRefused` and `OSError`."""
    from spandrel import (
        ImageModelDescriptor,
        ModelLoader,
        UnsupportedModelError,
        canonicalize_state_dict,
    )  # half a second

    try:
        descriptor = ModelLoader("cpu").load_from_state_dict(canonicalize_state_dict(dict(mapped(file.path))))
    except UnsafeFile as problem:
        raise UpscalerRefused(file.name, str(problem), "E-MODEL-UNSAFE") from None
    except UnsupportedModelError:
        raise UpscalerRefused(file.name, "no upscaler that spandrel knows has such tensors", "E-MODEL-FAMILY") from None
    except (BrokenFile, SafetensorError) as problem:
        raise UpscalerRefused(file.name, str(problem)) from None
    except (KeyError, ValueError, RuntimeError, TypeError, AssertionError, IndexError, AttributeError) as problem:
        if is_out_of_memory(problem):
            raise
        first = (str(problem).strip().splitlines() or [type(problem).__name__])[0]
        raise UpscalerRefused(file.name, f"its parts do not fit together ({first[:100]})") from None
    if not isinstance(descriptor, ImageModelDescriptor) or descriptor.purpose == "FaceSR":
        what = "restores faces" if isinstance(descriptor, ImageModelDescriptor) else "fills holes in pictures"
        raise UpscalerRefused(file.name, f"{descriptor.architecture.name} {what}, it is no upscaler", "E-MODEL-FAMILY")
    descriptor.model.eval().requires_grad_(False)
    return descriptor


@contextlib.contextmanager
def _checked(model: torch.nn.Module, check: Callable[[], None]) -> Iterator[None]:
    """`check` called before each of the model's layers."""
    leaves = [module for module in model.modules() if not any(module.children())]
    hooks = [module.register_forward_pre_hook(lambda *_: check()) for module in leaves]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
