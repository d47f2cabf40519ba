"""Model -> loaded components. Runs in the worker."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from accelerate import init_empty_weights
from safetensors import SafetensorError, safe_open
from transformers import CLIPTextConfig, CLIPTokenizer

from pipelines.engine import single_file
from pipelines.engine.errors import ModelCorrupt, ModelFileGone
from pipelines.engine.families import CONFIGS, FAMILIES, Family
from pipelines.engine.headers import BrokenFile, Place
from pipelines.engine.jobs import Event, Loading
from pipelines.engine.model import PICKLED, WEIGHT_STEMS, Model, header_of, weights_of
from pipelines.engine.pickles import UnsafeFile
from pipelines.engine.policy import Policy
from pipelines.engine.tokens import read_tokenizer

Components = dict[str, Any]
"""By diffusers' names: unet, vae, text_encoder, tokenizer, scheduler, and for SDXL text_encoder_2 and tokenizer_2."""

Report = Callable[[Event], None]
"""Takes what is told while loading; may raise `Cancelled`."""

_TORN = (BrokenFile, UnsafeFile, SafetensorError, OSError, ValueError, RuntimeError, KeyError, TypeError)
"""What the libraries raise for files whose content does not fit together."""


def load(model: Model, policy: Policy, report: Report) -> Components:
    """The components of `model` in main memory, in the policy's precision for it, on the CPU and ready to run.

    The weights are copies: what later happens to the files does not reach them. Raises `ModelCorrupt`,
    `ModelFileGone`, and `MemoryError` or `torch.OutOfMemoryError`.
    """
    assert model.path is not None
    dtype = getattr(torch, FAMILIES[model.family].fitting(policy.dtype_for(model.parameters)))
    components: Components = {}
    with _errors_as_corrupt(model), _one_file(model.path) as tensors:
        for index, part in enumerate(model.parts):
            report(Loading(what=f"{model.name}: {part.replace('_', ' ')}", fraction=index / len(model.parts)))
            if model.path.is_dir():
                components[part] = _from_folder(part, model, dtype)
            else:
                components[part] = _from_single_file(part, model, tensors, dtype)
        if model.family == "sdxl" and model.path.is_dir():
            index = single_file.base_config(model.path / "model_index.json")
            components["force_zeros_for_empty_prompt"] = bool(index.get("force_zeros_for_empty_prompt", True))
    report(Loading(what=model.name, fraction=1.0))
    return components


@contextlib.contextmanager
def _errors_as_corrupt(model: Model) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except _TORN as problem:
        if "allocate memory" in str(problem) or "not enough memory" in str(problem):  # as PyTorch says it for the CPU
            raise MemoryError(str(problem)) from problem
        gone = _gone(model)
        if gone is not None:
            raise ModelFileGone(model.name, gone.name) from problem
        first = str(problem).strip().splitlines() or [type(problem).__name__]
        raise ModelCorrupt(model.name, f"its parts do not fit together ({first[0][:120]})") from problem


def _gone(model: Model) -> Path | None:
    """A file that is needed and not there."""
    with contextlib.suppress(BrokenFile, OSError):
        return next((file for file in _files_read(model) if not file.is_file()), None)
    return None


def _files_read(model: Model) -> Iterator[Path]:
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
def _one_file(path: Path) -> Iterator[dict[str, torch.Tensor]]:
    """The tensors of a single file, mapped and not read yet; nothing for a folder."""
    if path.is_dir():
        yield {}
        return
    yield mapped(path)


def mapped(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file, mapped and not read yet.

    A pickled checkpoint is not unpickled: its table of tensors says where they lie.
    """
    if path.suffix.lower() not in PICKLED:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    header = header_of(path)
    whole = torch.from_file(str(path), shared=False, size=path.stat().st_size, dtype=torch.uint8)
    return {name: _at(whole, place).reshape(header.shapes[name]) for name, place in header.places.items()}


def _at(whole: torch.Tensor, place: Place) -> torch.Tensor:
    """The numbers of a tensor whose bytes lie at `place` of a file."""
    content, dtype = whole[place.start : place.stop], _DTYPES[place.dtype]
    aligned = content if place.start % dtype.itemsize == 0 else content.clone()
    return aligned.view(dtype)


_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def _from_folder(part: str, model: Model, dtype: torch.dtype) -> Any:
    assert model.path is not None
    folder = model.path / part
    family = FAMILIES[model.family]
    kind = class_of(family, part)
    if part.startswith("tokenizer"):
        if kind is CLIPTokenizer:
            read_tokenizer(folder)  # says what is wrong with it; transformers raises bare exceptions
        return kind.from_pretrained(folder, local_files_only=True)
    if part == "scheduler":
        return _scheduler(single_file.base_config(folder / "scheduler_config.json"), family)
    options: dict[str, Any] = {"local_files_only": True, "use_safetensors": True, "output_loading_info": True}
    if part.startswith("text_encoder"):
        options["attn_implementation"] = "sdpa"  # else the config could name a kernel to be fetched from the Hub
    else:
        options["disable_mmap"] = True
    variant = weights_of(folder).variant
    component, info = kind.from_pretrained(folder, variant=variant, dtype=dtype, **options)
    _check_keys(model.name, part, len(info["missing_keys"]) + len(info["mismatched_keys"]), 0)
    if part.startswith("text_encoder"):
        for parameter in component.parameters():
            parameter.data = parameter.data.clone()  # transformers leaves what needs no cast mapped to the file
    return component.eval().requires_grad_(False)


def _from_single_file(part: str, model: Model, tensors: dict[str, torch.Tensor], dtype: torch.dtype) -> Any:
    family = FAMILIES[model.family]
    if part.startswith("tokenizer"):
        return _clip_tokenizer(single_file.padding_of(family, part))
    if part == "scheduler":
        return _scheduler(single_file.scheduler_config(family, tensors, model.prediction), family)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    component = _empty(class_of(family, part), single_file.component_config(family, part, shapes))
    state = single_file.converted(part, component, tensors)
    # A copy even where the precision is right already: a mapped file that is overwritten would change the weights.
    state = {name: tensor.to(dtype, copy=True).contiguous() for name, tensor in state.items()}
    missing, unexpected = component.load_state_dict(state, strict=False, assign=True)
    _check_keys(model.name, part, len(missing), len(unexpected))
    return component.eval().requires_grad_(False)


@functools.cache
def _clip_tokenizer(padding: str) -> CLIPTokenizer:
    return CLIPTokenizer.from_pretrained(CONFIGS / "clip", local_files_only=True, pad_token=padding)


def class_of(family: Family, part: str) -> Any:
    """The class of the family's component `part`."""
    name = family.components[part]
    return getattr(diffusers, name, None) or getattr(transformers, name)


def _empty(kind: Any, config: dict[str, Any]) -> Any:
    """The component with shapes but without memory."""
    with init_empty_weights():
        return kind(CLIPTextConfig(**config)) if hasattr(kind, "config_class") else kind.from_config(config)


def _scheduler(config: dict[str, Any], family: Family) -> Any:
    """The scheduler that the config names, or the family's where diffusers has none of that name."""
    named = getattr(diffusers, str(config.get("_class_name")), None)
    is_scheduler = isinstance(named, type) and issubclass(named, diffusers.SchedulerMixin)
    return (named if is_scheduler else class_of(family, "scheduler")).from_config(config)


def _check_keys(name: str, part: str, missing: int, unexpected: int) -> None:
    if missing or unexpected:
        raise ModelCorrupt(name, f"its {part} lacks {missing} tensors and has {unexpected} unknown ones")
