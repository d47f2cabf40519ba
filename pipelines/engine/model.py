"""One checkpoint on disk: what its headers and configs tell."""

import hashlib
import json
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipelines.engine.errors import ModelCorrupt, ModelFamily, ModelUnsafe
from pipelines.engine.families import (
    CONFIGS,
    FAMILIES,
    ONLY_THESE,
    Family,
    OtherKind,
    Prediction,
    check_input_channels,
    recognise,
)
from pipelines.engine.headers import BrokenFile, Header, IncompleteFile, read_header
from pipelines.engine.jobs import ModelInfo
from presets.errors import shortened
from presets.fields import SIDE_MAXIMUM, SIDE_MINIMUM, SIDE_STEP

CONFIG_LIMIT = 2**20
STILL_COPYING_SECONDS = 2.0
WEIGHT_STEMS = {
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
    "text_encoder": "model",
    "text_encoder_2": "model",
}


@dataclass(frozen=True, slots=True)
class Model:
    """A checkpoint.

    `name` is unique in the catalog, `family` a key of `FAMILIES`. A "hub" model has no `path`, and family and
    native size are guesses, before it is downloaded. `native_size` is (width, height) in pixels; `parameters` counts
    the UNet's numbers. `identity` changes when any of the files does.
    """

    name: str
    family: str
    path: Path | None
    layout: Literal["folder", "single-file", "hub"]
    native_size: tuple[int, int]
    size_bytes: int
    prediction: Prediction
    parameters: int
    identity: str
    kind: Literal["checkpoint"] = "checkpoint"

    @property
    def tokenizer_folder(self) -> Path:
        """Of the (first) tokenizer: holds `tokenizer.json`, or `vocab.json` and `merges.txt`."""
        if self.path is not None and self.path.is_dir():
            return self.path / "tokenizer"
        return CONFIGS / "clip"

    def info(self) -> ModelInfo:
        """The model as faces show it."""
        title = FAMILIES[self.family].title
        return ModelInfo(name=self.name, family=title, native_size=self.native_size, size_bytes=self.size_bytes)


@dataclass(frozen=True, slots=True)
class Weights:
    """The files that hold one component of a folder, and the variant ("fp16" or none) in their names."""

    files: tuple[Path, ...]
    variant: str | None


def identity_of(paths: Iterator[Path]) -> str:
    """A text that changes when any of the files does. Raises `OSError` for one that is not there."""
    states = ((path, path.stat()) for path in paths)
    text = "|".join(f"{path}:{state.st_mtime_ns}:{state.st_size}:{state.st_ino}" for path, state in states)
    return hashlib.blake2b(os.fsencode(text), digest_size=16).hexdigest()


def files_of(folder: Path) -> Iterator[Path]:
    """The files of a diffusers folder and of its component folders, in order of name."""
    for path in sorted(folder.iterdir()):
        if path.is_file():
            yield path
        elif path.name in WEIGHT_STEMS or path.name in ("scheduler", "tokenizer", "tokenizer_2"):
            yield from (inner for inner in sorted(path.iterdir()) if inner.is_file())


def inspect_file(path: Path, name: str) -> Model:
    """The checkpoint in the single file `path`. Raises `ModelCorrupt`, `ModelFamily`, and `OSError` if it vanishes."""
    identity = identity_of(iter((path,)))
    header = _header(path, name)
    try:
        found = recognise(header)
    except OtherKind as other:
        raise ModelFamily(name, other.what, other.advice) from None
    native_size = FAMILIES[found.family].native_size
    size = path.stat().st_size
    return Model(
        name, found.family, path, "single-file", native_size, size, found.prediction, found.parameters, identity
    )


def inspect_folder(path: Path, name: str, layout: Literal["folder", "hub"] = "folder") -> Model:
    """The checkpoint in the diffusers folder `path`.

    Raises `ModelCorrupt`, `ModelFamily`, `ModelUnsafe` where the weights are only there in pickled form, and `OSError`
    if files vanish meanwhile.
    """
    identity = identity_of(files_of(path))
    index = _config(path / "model_index.json", name)
    family = _family_of_class(str(index.get("_class_name")), name)
    unet = _config(path / "unet" / "config.json", name)
    vae = _config(path / "vae" / "config.json", name)
    scheduler = _config(path / "scheduler" / "scheduler_config.json", name)
    _check_unet(unet, family, name)
    _check_tokenizers(path, family, name)
    headers = {part: _part_headers(path / part, name) for part in WEIGHT_STEMS if part in family.components}
    return Model(
        name=name,
        family=family.name,
        path=path,
        layout=layout,
        native_size=_native_size(unet, vae, family),
        size_bytes=sum(file.stat().st_size for part in headers for file in weights_of(path / part).files),
        prediction="v_prediction" if scheduler.get("prediction_type") == "v_prediction" else "epsilon",
        parameters=sum(header.count() for header in headers["unet"]),
        identity=identity,
    )


def weights_of(folder: Path) -> Weights:
    """The safetensors files of a component's folder: whole, in parts, or in float16; none if there are none."""
    stem = WEIGHT_STEMS[folder.name]
    whole, half = folder / f"{stem}.safetensors", folder / f"{stem}.fp16.safetensors"
    parts = folder / f"{stem}.safetensors.index.json"
    if whole.is_file():
        return Weights((whole,), None)
    if parts.is_file():
        places = _read_json(parts).get("weight_map")
        names = {Path(str(name)).name for name in places.values()} if isinstance(places, dict) else set()
        if not all(name.isprintable() for name in names):  # a null byte is no part of any path
            raise BrokenFile(f"{parts.name} names a file that cannot be")
        return Weights(tuple(folder / name for name in sorted(names)), None)
    return Weights((half,), "fp16") if half.is_file() else Weights((), None)


def _part_headers(folder: Path, name: str) -> list[Header]:
    try:
        files = weights_of(folder).files
    except (BrokenFile, OSError) as problem:
        raise ModelCorrupt(name, f"{folder.name}: {problem}") from None
    if not files and (folder.is_dir() and any(folder.glob("*.bin"))):
        raise ModelUnsafe(name, "its weights are pickled (.bin) and could run code; convert them to safetensors")
    if not files:
        raise ModelCorrupt(name, f"it has no weights in {folder.name}/")
    return [_header(file, name) for file in files]


def _header(path: Path, name: str) -> Header:
    try:
        _check_regular(path)
        return read_header(path)
    except IncompleteFile as problem:
        fresh = time.time() - path.stat().st_mtime < STILL_COPYING_SECONDS
        raise ModelCorrupt(name, "it is still being copied" if fresh else str(problem)) from None
    except BrokenFile as problem:
        raise ModelCorrupt(name, str(problem)) from None
    except OSError as problem:
        raise ModelCorrupt(name, f"it cannot be read ({problem.strerror})") from None


def _config(path: Path, name: str) -> dict[str, Any]:
    try:
        return _read_json(path)
    except OSError as problem:
        raise ModelCorrupt(name, f"{path.parent.name}/{path.name} cannot be read ({problem.strerror})") from None
    except BrokenFile as problem:
        raise ModelCorrupt(name, str(problem)) from None


def _read_json(path: Path) -> dict[str, Any]:
    _check_regular(path)
    with path.open("rb") as file:
        text = file.read(CONFIG_LIMIT * 4 + 1)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise BrokenFile(f"{path.parent.name}/{path.name} is no JSON object")
    return value


def _check_regular(path: Path) -> None:
    """Raise `BrokenFile` for a device or a FIFO: opening one may wait for ever."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise BrokenFile(f"{path.parent.name}/{path.name} is no regular file")


def _family_of_class(class_name: str, name: str) -> Family:
    for family in FAMILIES.values():
        if class_name in family.pipelines.values():
            return family
    raise ModelFamily(name, f"a folder for {shortened(class_name)}", ONLY_THESE)


def _check_unet(unet: dict[str, Any], family: Family, name: str) -> None:
    try:
        check_input_channels(unet.get("in_channels", 4))
    except OtherKind as other:
        raise ModelFamily(name, other.what, other.advice) from None
    if family.name == "sd1" and unet.get("cross_attention_dim") == 1024:
        raise ModelFamily(name, "a Stable Diffusion 2.x checkpoint", ONLY_THESE)


def _check_tokenizers(path: Path, family: Family, name: str) -> None:
    for part in (part for part in family.components if part.startswith("tokenizer")):
        there = [(path / part / file).is_file() for file in ("tokenizer.json", "vocab.json", "merges.txt")]
        if not (there[0] or all(there[1:])):
            raise ModelCorrupt(name, f"{part}/ holds neither tokenizer.json nor vocab.json with merges.txt")


def _native_size(unet: dict[str, Any], vae: dict[str, Any], family: Family) -> tuple[int, int]:
    """Latent side times the VAE's reduction; the family's own where that is no size that a request may have."""
    blocks = vae.get("block_out_channels")
    scale = 2 ** (len(blocks) - 1) if isinstance(blocks, list) and 0 < len(blocks) < 10 else 0
    sample = unet.get("sample_size")
    sides = sample if isinstance(sample, list) else [sample, sample]
    pixels = [side * scale for side in sides if type(side) is int]
    allowed = all(SIDE_MINIMUM <= side <= SIDE_MAXIMUM and side % SIDE_STEP == 0 for side in pixels)
    return (pixels[1], pixels[0]) if allowed and len(pixels) == len(sides) == 2 else family.native_size
