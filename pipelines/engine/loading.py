"""Model -> loaded components. Runs in the worker."""

import contextlib
import functools
import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from accelerate import init_empty_weights
from diffusers import GGUFQuantizationConfig
from safetensors import SafetensorError
from transformers import CLIPTextConfig, CLIPTokenizer, initialization

from pipelines.engine import single_file
from pipelines.engine.errors import ModelCorrupt, ModelFileGone
from pipelines.engine.families import CONFIGS, FAMILIES, Family
from pipelines.engine.headers import BrokenFile
from pipelines.engine.jobs import Event, Loading
from pipelines.engine.model import GGUF, WEIGHT_STEMS, Model, weights_of
from pipelines.engine.out_of_memory import is_out_of_memory
from pipelines.engine.pickles import UnsafeFile
from pipelines.engine.policy import Policy
from pipelines.engine.tokens import read_tokenizer
from pipelines.engine.weight_files import WeightFiles
from pipelines.engine.weights import layout_of, new_block, view_of

Components = dict[str, Any]
"""By diffusers' names: unet, vae, text_encoder, tokenizer, scheduler, and for SDXL text_encoder_2 and tokenizer_2."""

Report = Callable[[Event], None]
"""Takes what is told while loading; may raise `Cancelled`."""

Tensors = Mapping[str, torch.Tensor]

REPORT_BYTES = 32 * 2**20
"""Of weights, between two reports."""

_READ_HERE = {"UNet2DConditionModel", "AutoencoderKL", "CLIPTextModel", "CLIPTextModelWithProjection"}
"""Classes whose weights are read by this module from folders, too; the libraries read those of the others."""

_IN_CHANNELS_LAST = ("unet", "transformer", "vae")
_TORN = (BrokenFile, UnsafeFile, SafetensorError, OSError, ValueError, RuntimeError, KeyError, TypeError)
"""What the libraries raise for files whose content does not fit together."""


def load(model: Model, policy: Policy, report: Report, known: Collection[str] = ()) -> Components:
    """The components of `model` but for those `known`, in main memory, in the policy's precision and memory format.

    The weights of each lie in one block, read straight from the files and converted on the way. They are copies: what
    later happens to the files does not reach them. Raises `ModelCorrupt`, `ModelFileGone`, and what libraries
    raise where memory runs out.
    """
    assert model.path is not None
    parts = [part for part in model.parts if part not in known]
    loader = _Loader(model, policy, report, len(parts))
    components: Components = {}
    with _errors_as_corrupt(model), loader:
        for part in parts:
            components[part] = loader.part(part)
        if model.family == "sdxl" and model.path.is_dir():
            index = single_file.base_config(model.path / "model_index.json")
            components["force_zeros_for_empty_prompt"] = bool(index.get("force_zeros_for_empty_prompt", True))
    report(Loading(what=model.name, fraction=1.0))
    return components


def files_read(model: Model) -> Iterator[Path]:
    """The files that loading `model` needs, whether they are there or not."""
    assert model.path is not None
    if model.layout == "single-file":
        yield model.path
        return
    yield model.path / "model_index.json"
    for part in model.parts:
        folder = model.path / part
        if part == "scheduler":
            yield folder / "scheduler_config.json"
        elif part in WEIGHT_STEMS:
            yield folder / "config.json"
            yield from weights_of(folder).files or (folder / f"{WEIGHT_STEMS[part]}.safetensors",)


@contextlib.contextmanager
def _errors_as_corrupt(model: Model) -> Iterator[None]:
    try:
        yield
    except _TORN as problem:
        if is_out_of_memory(problem):
            raise
        gone = _gone(model)
        if gone is not None:
            raise ModelFileGone(model.name, gone.name) from problem
        first = str(problem).strip().splitlines() or [type(problem).__name__]
        raise ModelCorrupt(model.name, f"its parts do not fit together ({first[0][:120]})") from problem


def _gone(model: Model) -> Path | None:
    """A file that is needed and not there."""
    with contextlib.suppress(BrokenFile, OSError):
        return next((file for file in files_read(model) if not file.is_file()), None)
    return None


class _Loader:
    """One load of one model, in `parts` parts. As a `with`; a single file is open all the while, a folder's part by
    part."""

    def __init__(self, model: Model, policy: Policy, report: Report, parts: int):
        assert model.path is not None
        self._model = model
        self._path = model.path
        self._family = FAMILIES[model.family]
        self._dtype = getattr(torch, self._family.fitting(policy.dtype_for(model.parameters)))
        self._channels_last = policy.channels_last and self._dtype != torch.float32
        self._pinned = policy.device == "cuda"
        self._report = report
        self._parts = parts
        self._done = self._told = 0
        self._single_file = WeightFiles((model.path,) if model.path.is_file() else ())

    def __enter__(self) -> None:
        self._single_file.__enter__()

    def __exit__(self, *error: object) -> None:
        self._single_file.__exit__(*error)

    def part(self, part: str) -> Any:
        self._told = 0
        self._tell(part, 0.0)
        component = self._from_folder(part) if self._path.is_dir() else self._from_single_file(part)
        self._done += 1
        return component

    def _tell(self, part: str, fraction: float) -> None:
        what = f"{self._model.name}: {part.replace('_', ' ')}"
        self._report(Loading(what=what, fraction=min(1.0, (self._done + fraction) / self._parts)))

    def _tell_of_bytes(self, part: str, size: int, filled: int) -> None:
        if filled >= self._told + REPORT_BYTES:
            self._told = filled
            self._tell(part, filled / size)

    def _from_folder(self, part: str) -> Any:
        folder = self._path / part
        kind = class_of(self._family, part)
        if part.startswith("tokenizer"):
            if kind is CLIPTokenizer:
                read_tokenizer(folder)  # says what is wrong with it; transformers raises bare exceptions
            return _tokenizer(kind, _TokenizerFolder(_digest_of(folder), folder))
        if part == "scheduler":
            return _scheduler(single_file.base_config(folder / "scheduler_config.json"), self._family)
        files = weights_of(folder).files
        if any(file.suffix == GGUF for file in files):
            return self._quantised(part, kind, files[0])
        if kind.__name__ not in _READ_HERE:
            return self._by_the_library(part, kind)
        component = _empty(kind, _config_in(folder, kind))
        if not files:
            raise FileNotFoundError(f"{part} has no weights")
        with WeightFiles(files) as opened:
            return self._filled(part, component, opened, _renamed(component, opened.tensors))

    def _quantised(self, part: str, kind: Any, file: Path) -> Any:
        """Weights that stay as they are in a GGUF file; each layer is decompressed while it computes."""
        component = kind.from_single_file(
            str(file),
            config=str(self._path),
            subfolder=part,
            quantization_config=GGUFQuantizationConfig(compute_dtype=self._dtype),
            dtype=self._dtype,
            local_files_only=True,
        )
        self._check(part, sum(tensor.is_meta for tensor in component.state_dict().values()), 0)
        return component.eval().requires_grad_(False)

    def _by_the_library(self, part: str, kind: Any) -> Any:
        options: dict[str, Any] = {"local_files_only": True, "use_safetensors": True, "output_loading_info": True}
        if part.startswith("text_encoder"):
            options["attn_implementation"] = "sdpa"  # else the config could name a kernel to be fetched from the Hub
        else:
            options["disable_mmap"] = True
        folder = self._path / part
        options["variant"] = weights_of(folder).variant
        component, info = kind.from_pretrained(folder, dtype=self._dtype, **options)
        self._check(part, len(info["missing_keys"]) + len(info["mismatched_keys"]), 0)
        if part.startswith("text_encoder"):
            for parameter in component.parameters():
                parameter.data = parameter.data.clone()  # transformers leaves what needs no cast mapped to the file
        elif self._channels_last and part in _IN_CHANNELS_LAST:
            component.to(memory_format=torch.channels_last)
        return component.eval().requires_grad_(False)

    def _from_single_file(self, part: str) -> Any:
        tensors = self._single_file.tensors
        if part.startswith("tokenizer"):
            return _clip_tokenizer(single_file.padding_of(self._family, part))
        if part == "scheduler":
            return _scheduler(single_file.scheduler_config(self._family, tensors, self._model.prediction), self._family)
        shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        component = _empty(class_of(self._family, part), single_file.component_config(self._family, part, shapes))
        state = single_file.converted(part, component, tensors)
        unknown = len(state.keys() - component.state_dict().keys())
        return self._filled(part, component, self._single_file, state, unknown)

    def _check(self, part: str, missing: int, unknown: int) -> None:
        if missing or unknown:
            raise ModelCorrupt(self._model.name, f"its {part} lacks {missing} tensors and has {unknown} unknown ones")

    def _filled(self, part: str, component: Any, files: WeightFiles, state: Tensors, unknown: int = 0) -> Any:
        """The empty `component` with the weights of `state`, which are in `files`. Raises `ModelCorrupt`."""
        wanted = component.state_dict()
        lacking = sum(name not in state or state[name].shape != tensor.shape for name, tensor in wanted.items())
        self._check(part, lacking, unknown)
        layout = layout_of(wanted, self._dtype, self._channels_last and part in _IN_CHANNELS_LAST)
        block = new_block(layout.size, pinned=self._pinned)
        weights = {name: view_of(block, slot) for name, slot in layout.slots.items()}
        files.fill(
            weights, {name: state[name] for name in wanted}, functools.partial(self._tell_of_bytes, part, layout.size)
        )
        component.load_state_dict(weights, assign=True)
        return component.eval().requires_grad_(False)


def _config_in(folder: Path, kind: Any) -> Any:
    if issubclass(kind, transformers.PreTrainedModel):
        return CLIPTextConfig.from_pretrained(folder, local_files_only=True)
    return kind.load_config(folder, local_files_only=True)


def _renamed(component: Any, tensors: Tensors) -> dict[str, torch.Tensor]:
    """The tensors of a folder under the names that `component` has for them; what it does not have is left out.

    transformers moved the level `text_model` of text encoders in version 5.6; diffusers renamed a VAE's attention.
    """
    known = component.state_dict().keys()
    state = dict(tensors)
    if isinstance(component, diffusers.ModelMixin):
        component._fix_state_dict_keys_on_load(state)  # pyright: ignore[reportArgumentType]
    else:
        level = "text_model."
        for name, tensor in tensors.items():
            state |= dict.fromkeys((name.removeprefix(level), level + name), tensor)
    return {name: tensor for name, tensor in state.items() if name in known}


@dataclass(frozen=True, slots=True)
class _TokenizerFolder:
    """A folder as what its files hold: most checkpoints have the same tokenizer."""

    digest: str
    path: Path = field(compare=False)


def _digest_of(folder: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(file for file in folder.iterdir() if file.is_file()):
        digest.update(f"{path.name}:{path.stat().st_size}:".encode() + path.read_bytes())
    return digest.hexdigest()


@functools.lru_cache(maxsize=8)
def _tokenizer(kind: Any, folder: _TokenizerFolder) -> Any:
    return kind.from_pretrained(folder.path, local_files_only=True)


@functools.cache
def _clip_tokenizer(padding: str) -> CLIPTokenizer:
    return CLIPTokenizer.from_pretrained(CONFIGS / "clip", local_files_only=True, pad_token=padding)


def class_of(family: Family, part: str) -> Any:
    """The class of the family's component `part`."""
    name = family.components[part]
    return getattr(diffusers, name, None) or getattr(transformers, name)


def _empty(kind: Any, config: Any) -> Any:
    """The component with shapes but without memory, of a config of its kind or the values of one."""
    with init_empty_weights(), initialization.no_init_weights():
        if not issubclass(kind, transformers.PreTrainedModel):
            return kind.from_config(config)
        config = CLIPTextConfig(**config) if isinstance(config, dict) else config
        config._attn_implementation = "sdpa"  # else it could name a kernel to be fetched from the Hub
        return kind(config)


def _scheduler(config: dict[str, Any], family: Family) -> Any:
    """The scheduler that the config names, or the family's where diffusers has none of that name."""
    named = getattr(diffusers, str(config.get("_class_name")), None)
    is_scheduler = isinstance(named, type) and issubclass(named, diffusers.SchedulerMixin)
    scheduler_class: Any = named if is_scheduler else class_of(family, "scheduler")
    return scheduler_class.from_config(config)
