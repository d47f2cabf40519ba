"""Models that make pictures of pictures, loaded by spandrel and held beside the checkpoints. Runs in the worker."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import numpy
import torch
from PIL import Image
from safetensors import SafetensorError

from pipelines.engine.components import CheckpointKey, ComponentCache, Holding
from pipelines.engine.errors import BrokenPicture, Unusable
from pipelines.engine.headers import BrokenFile
from pipelines.engine.jobs import Loading
from pipelines.engine.loading import Report
from pipelines.engine.out_of_memory import is_out_of_memory
from pipelines.engine.pickles import UnsafeFile
from pipelines.engine.picture_model_files import PictureModelFile, PictureModelFiles
from pipelines.engine.policy import Policy
from pipelines.engine.weight_files import mapped
from presets.errors import UserError

if TYPE_CHECKING:
    from spandrel import ImageModelDescriptor

MODEL, DESCRIPTOR = "model", "descriptor"
_DOES = {
    "SR": "makes pictures larger",
    "Restoration": "restores pictures",
    "FaceSR": "restores faces",
    "Inpainting": "fills holes in pictures",
}
"""What a model of each of spandrel's purposes does."""


@dataclass(frozen=True, slots=True)
class PictureModel:
    """A model ready to run. `seconds` is what was waited for its weights. `failed` makes the error of a picture without
    numbers."""

    file: PictureModelFile
    descriptor: "ImageModelDescriptor[Any]"
    seconds: float
    failed: Callable[[], UserError]

    @property
    def scale(self) -> int:
        """Times as wide and as high its pictures are."""
        return self.descriptor.scale

    @property
    def about(self) -> dict[str, Any]:
        """What else stands in the metadata of its pictures."""
        return {
            "architecture": self.descriptor.architecture.name,
            "scale": self.scale,
            "device": self.descriptor.device.type,
            "dtype": str(self.descriptor.dtype).removeprefix("torch."),
        }

    def made_of(self, picture: Image.Image, check: Callable[[], None]) -> Image.Image:
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


ModelType = TypeVar("ModelType", bound=PictureModel)


class PictureModels(Generic[ModelType]):
    """Those of one kind. Belongs to the one thread that owns the device; its models stand in `cache`, within the same
    budgets as all."""

    build: type[ModelType]
    purposes: ClassVar[tuple[str, ...]]
    """Spandrel's, of the models that are of this kind."""

    def __init__(self, files: PictureModelFiles, cache: ComponentCache, policy: Policy):
        self._files = files
        self._cache = cache
        self._dtype = torch.float16 if policy.device == "cuda" and policy.dtype != "float32" else torch.float32

    @contextlib.contextmanager
    def ready(self, name: str, report: Report) -> Iterator[ModelType]:
        """The model `name` where it can run, its weights pinned until the block is left.

        Raises the errors of its files (`missing` and `refused`) and what `report` raises.
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
            yield self.build(file, descriptor, seconds, lambda: self._failed(file, descriptor.model))
        finally:
            holding.pins -= 1
            self._cache.settle(holding)

    def _loaded(self, key: CheckpointKey, file: PictureModelFile, report: Report) -> Holding:
        refused = self._files.refused
        report(Loading(what=file.name))
        try:
            descriptor = load_picture_model(file, self.purposes, refused)
        except refused as error:
            self._files.mark(file, error)
            raise
        if descriptor.supports_half:
            descriptor.model.to(self._dtype)
        parts = {MODEL: descriptor.model, DESCRIPTOR: descriptor}
        holding = self._cache.add(key, f"{file.name} ({refused.what})", parts)
        holding.parts[DESCRIPTOR].value._model = holding.parts[MODEL].value  # may be another file's, with equal weights
        return holding

    def _failed(self, file: PictureModelFile, model: torch.nn.Module) -> UserError:
        sound = all(bool(tensor.isfinite().all()) for tensor in model.state_dict().values())
        error = BrokenPicture(file.name, () if sound else (MODEL,), field=self._files.refused.of_field)
        if not sound:
            self._files.mark(file, error)
        return error


def load_picture_model(
    file: PictureModelFile, purposes: tuple[str, ...], refused: type[Unusable]
) -> "ImageModelDescriptor[Any]":
    """The model of `file` on the CPU, in float32. Raises `refused`, also for one of other `purposes`, and `OSError`."""
    from spandrel import ModelLoader, UnsupportedModelError, canonicalize_state_dict  # half a second

    state: dict[str, Any] = {}
    try:
        state = canonicalize_state_dict(dict(mapped(file.path)))
        descriptor: Any = ModelLoader("cpu", _registry()).load_from_state_dict(state)
    except UnsafeFile as problem:
        raise refused(file.name, str(problem), "E-MODEL-UNSAFE") from None
    except UnsupportedModelError:
        raise refused(file.name, _unsupported(state, refused), "E-MODEL-FAMILY") from None
    except (BrokenFile, SafetensorError) as problem:
        raise refused(file.name, str(problem)) from None
    except (KeyError, ValueError, RuntimeError, TypeError, AssertionError, IndexError, AttributeError) as problem:
        if is_out_of_memory(problem):
            raise
        first = (str(problem).strip().splitlines() or [type(problem).__name__])[0]
        raise refused(file.name, f"its parts do not fit together ({first[:100]})") from None
    if descriptor.purpose not in purposes:
        reason = f"{descriptor.architecture.name} {_DOES[descriptor.purpose]}, it is no {refused.what}"
        raise refused(file.name, reason, "E-MODEL-FAMILY")
    descriptor.model.eval().requires_grad_(False)
    return descriptor


def _registry() -> Any:
    """The architectures that spandrel knows, and those that may not be used by everybody where the person has them."""
    from spandrel import MAIN_REGISTRY

    registry = MAIN_REGISTRY.copy()
    with contextlib.suppress(ImportError):
        from spandrel_extra_arches import EXTRA_REGISTRY  # pyright: ignore[reportMissingImports]

        registry.add(*EXTRA_REGISTRY, ignore_duplicates=True)
    return registry


def _unsupported(state: dict[str, Any], refused: type[Unusable]) -> str:
    if "position_emb" in state and "idx_pred_layer.1.weight" in state:
        return "CodeFormer's network may not be used by everybody; it comes with `pip install spandrel_extra_arches`"
    return f"no {refused.what} that spandrel knows has such tensors"


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
