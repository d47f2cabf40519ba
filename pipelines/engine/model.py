"""One checkpoint on disk: what its headers and configs tell."""

import hashlib
import os
import stat
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipelines.engine import plain_json
from pipelines.engine.errors import ModelCorrupt, ModelFamily, ModelUnsafe
from pipelines.engine.families import CONFIGS, FAMILIES, Family, Prediction, Variant
from pipelines.engine.gguf import ARCHITECTURE, read_gguf_header, what_is_in
from pipelines.engine.headers import BrokenFile, Header, IncompleteFile, read_header
from pipelines.engine.jobs import ModelInfo
from pipelines.engine.pickles import UnsafeFile, read_pickled
from pipelines.engine.recognition import (
    ONLY_THESE,
    UNET,
    OtherKind,
    Recognised,
    prediction_of,
    recognise,
    sidecar_of,
    variant_of,
)
from presets.errors import InvalidField, UserError, shortened
from presets.fields import SIDE_MAXIMUM, SIDE_MINIMUM, SIDE_STEP

CONFIG_LIMIT = 2**20
GGUF = ".gguf"
PICKLED = (".ckpt", ".pt", ".pth", ".bin")
STILL_COPYING_SECONDS = 2.0
WEIGHT_STEMS = {
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
    "text_encoder": "model",
    "text_encoder_2": "model",
    "text_encoder_3": "model",
    "transformer": "diffusion_pytorch_model",
}
_OTHER_PARTS = ("scheduler", "tokenizer", "tokenizer_2", "tokenizer_3")


@dataclass(frozen=True, slots=True)
class Model:
    """A checkpoint.

    `name` is unique in the catalog, `family` a key of `FAMILIES`, `variant` the name of one of its variants or "".
    A "hub" model has no `path`, and family and native size are guesses, before it is downloaded. `native_size` is
    (width, height) in pixels; `parameters` counts the denoiser's numbers, `width` the channels of a UNet's first layer
    and `text_width` the numbers of each word that it reads (0 where it is none), `parts` names the components that are
    there.
    `identity` changes when any of the files does.
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
    variant: str = ""
    parts: tuple[str, ...] = ()
    width: int = 0
    text_width: int = 0
    kind: Literal["checkpoint"] = "checkpoint"

    @property
    def tokenizer_folder(self) -> Path:
        """Of the (first) CLIP tokenizer: holds `tokenizer.json`, or `vocab.json` and `merges.txt`."""
        if self.path is not None and self.path.is_dir():
            return self.path / next(part for part in self.parts if part.startswith("tokenizer"))
        return CONFIGS / "clip"

    @property
    def pipelines(self) -> Mapping[str, str]:
        """The diffusers class of each task that this model can do."""
        variant = self._variant
        return variant.pipelines if variant else FAMILIES[self.family].pipelines

    @property
    def title(self) -> str:
        """The family, and the variant where it is one: "Stable Diffusion 1.x inpainting"."""
        title, variant = FAMILIES[self.family].title, self._variant
        return f"{title} {variant.what}" if variant else title

    @property
    def made_for(self) -> str:
        """What a model that cannot make pictures from words does; else an empty text."""
        return self._variant.made_for if self._variant else FAMILIES[self.family].made_for

    @property
    def _variant(self) -> Variant | None:
        return FAMILIES[self.family].variant(self.variant)

    def check_task(self, task: str) -> None:
        """Raise `ModelFamily` for a task that the model was not made for."""
        if task not in self.pipelines:
            words = task.replace("-", " ")
            reason = f"{self.made_for}, and" if self.made_for else "it"
            raise ModelFamily(self.name, f"a {self.title} checkpoint", f"{reason} cannot do {words}")

    def check_soft_mask(self) -> None:
        """Raise `InvalidField` where inpainting cannot redraw some places more than others."""
        if self._variant or not FAMILIES[self.family].soft_masks:
            raise InvalidField(
                "soft_mask",
                f"Soft mask cannot be used with {shortened(self.name)}, a {self.title} checkpoint: it is shown a mask "
                "without grey. Choose another checkpoint, or leave it off.",
                code="E-MASK",
            )

    def check_size(self, width: int, height: int) -> None:
        """Raise `InvalidField` for a side that the family cannot have."""
        grid = FAMILIES[self.family].grid
        for field, side in (("width", width), ("height", height)):
            if side % grid:
                nearest = max(round(side / grid) * grid, SIDE_MINIMUM)
                raise InvalidField(
                    field,
                    f"{field.capitalize()} cannot be {side} with {self.title}: must be a multiple of {grid}; the "
                    f"nearest is {nearest}.",
                    code="E-SIZE",
                )

    def info(self) -> ModelInfo:
        """The model as faces show it."""
        note = f"{self.made_for[0].upper()}{self.made_for[1:]}." if self.made_for else ""
        return ModelInfo(
            name=self.name,
            family=self.title,
            native_size=self.native_size,
            size_bytes=self.size_bytes,
            note=note,
        )


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


def files_of(checkpoint: Path) -> Iterator[Path]:
    """A single file and the config beside it, or those of a diffusers folder and its component folders, by name."""
    if not checkpoint.is_dir():
        yield checkpoint
        yield from (path for path in (sidecar_of(checkpoint),) if path.is_file())
        return
    for entry in _entries(checkpoint):
        if entry.is_file():
            yield Path(entry.path)
        elif entry.name in WEIGHT_STEMS or entry.name in _OTHER_PARTS:
            yield from (Path(inner.path) for inner in _entries(entry) if inner.is_file())


def _entries(folder: os.PathLike[str]) -> list[os.DirEntry[str]]:
    """Its files and folders by name. What each is, the folder itself tells: every job asks for this."""
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def inspect_file(path: Path, name: str) -> Model:
    """The checkpoint in the single file `path`.

    Raises `ModelCorrupt`, `ModelFamily`, `ModelUnsafe`, and `OSError` if it vanishes.
    """
    identity = identity_of(files_of(path))
    if path.suffix.lower() == GGUF:
        raise _gguf(path, name)
    header = _header(path, name)
    try:
        found = recognise(header)
    except OtherKind as other:
        raise ModelFamily(name, other.what, other.advice) from None
    prediction = prediction_of(path, header, found)
    return Model(
        name=name,
        family=found.family,
        path=path,
        layout="single-file",
        native_size=_native_size_of_file(found, prediction),
        size_bytes=path.stat().st_size,
        prediction=prediction,
        parameters=found.parameters,
        identity=identity,
        variant=found.variant,
        parts=tuple(FAMILIES[found.family].components),
        width=_first_side(header, f"{UNET}input_blocks.0.0.weight"),
        text_width=_text_width(header),
    )


def _gguf(path: Path, name: str) -> UserError:
    """Why the GGUF file `path` is no checkpoint."""
    try:
        what = what_is_in(path)
    except BrokenFile as problem:
        return ModelCorrupt(name, str(problem))
    advice = "it lacks text encoders and VAE; put it into transformer/ of a diffusers folder of its family"
    return ModelFamily(name, f"{what} in GGUF", advice)


def _native_size_of_file(found: Recognised, prediction: Prediction) -> tuple[int, int]:
    """The family's; SD 2.x predicts v where it was trained on 768 pixels."""
    return (768, 768) if found.family == "sd2" and prediction == "v_prediction" else FAMILIES[found.family].native_size


def inspect_folder(path: Path, name: str, layout: Literal["folder", "hub"] = "folder") -> Model:
    """The checkpoint in the diffusers folder `path`.

    Raises `ModelCorrupt`, `ModelFamily`, `ModelUnsafe` where the weights are only there in pickled form, and `OSError`
    if files vanish meanwhile.
    """
    identity = identity_of(files_of(path))
    index = _config(path / "model_index.json", name)
    class_name = str(index.get("_class_name"))
    family = _family_of_class(class_name, name)
    denoiser = _config(path / family.denoiser / "config.json", name)
    if family.name == "sd1" and _is_sd2(denoiser):
        family = FAMILIES["sd2"]
    elif class_name in _PIPELINES_OF["sdxl-refiner"] and _is_missing(index, "text_encoder"):
        family = FAMILIES["sdxl-refiner"]
    vae = _config(path / "vae" / "config.json", name)
    scheduler = _config(path / "scheduler" / "scheduler_config.json", name)
    parts = tuple(part for part in family.components if part not in family.optional or (path / part).is_dir())
    _check_tokenizers(path, [part for part in parts if family.components[part] == "CLIPTokenizer"], name)
    headers = {part: _part_headers(path / part, name) for part in parts if part in WEIGHT_STEMS}
    _check_architecture(headers[family.denoiser], family, name)
    return Model(
        name=name,
        family=family.name,
        path=path,
        layout=layout,
        native_size=_native_size(denoiser, vae, family),
        size_bytes=sum(file.stat().st_size for part in headers for file in weights_of(path / part).files),
        prediction=_prediction_of_folder(scheduler, family),
        parameters=sum(header.count() for header in headers[family.denoiser]),
        identity=identity,
        variant=_variant_of_folder(denoiser, family, name),
        parts=parts,
        width=max(_first_side(header, "conv_in.weight") for header in headers[family.denoiser]),
        text_width=max(map(_text_width, headers[family.denoiser])),
    )


def _first_side(header: Header, name: str) -> int:
    """Of the tensor's shape; 0 where there is none of that name."""
    return next(iter(header.shapes.get(name, ())), 0)


def _text_width(header: Header) -> int:
    """What a UNet's cross attention reads; 0 where there is none."""
    reads = (shape for name, shape in header.shapes.items() if name.endswith("attn2.to_k.weight") and len(shape) == 2)
    return next(reads, (0, 0))[1]


def _check_architecture(headers: Sequence[Header], family: Family, name: str) -> None:
    """Raise `ModelFamily` for a GGUF file of another family than its folder's."""
    for header in headers:
        architecture = header.metadata.get(ARCHITECTURE, family.name)
        if architecture != family.name:
            raise ModelFamily(name, f"a folder for {family.title}", f"its GGUF file is for {architecture[:40]!r}")


def _prediction_of_folder(scheduler: dict[str, Any], family: Family) -> Prediction:
    if family.denoiser == "transformer":
        return "flow"
    return "v_prediction" if scheduler.get("prediction_type") == "v_prediction" else "epsilon"


def weights_of(folder: Path) -> Weights:
    """The files of a component's folder: a transformer in GGUF, safetensors whole, in parts, or in float16; none if
    there are none."""
    stem = WEIGHT_STEMS[folder.name]
    quantised = sorted(folder.glob(f"*{GGUF}")) if folder.name == "transformer" else []
    if quantised:
        return Weights((quantised[0],), None)
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


def header_of(path: Path) -> Header:
    """The tensors of a safetensors, pickled or GGUF file, and where they lie but for the last. Raises `BrokenFile`,
    `UnsafeFile`, `OSError`."""
    if path.suffix.lower() == GGUF:
        return read_gguf_header(path)
    return read_pickled(path) if path.suffix.lower() in PICKLED else read_header(path)


def _header(path: Path, name: str) -> Header:
    try:
        _check_regular(path)
        return header_of(path)
    except UnsafeFile as problem:
        raise ModelUnsafe(name, str(problem)) from None
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
        value = plain_json.parse(text)
    except ValueError:
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
        if class_name in _PIPELINES_OF[family.name]:
            return family
    raise ModelFamily(name, f"a folder for {shortened(class_name)}", ONLY_THESE)


def _is_missing(index: dict[str, Any], part: str) -> bool:
    """Whether model_index.json says that there is none: `[null, null]`, or not a word of it."""
    return index.get(part) in (None, [None, None])


def _is_sd2(unet: dict[str, Any]) -> bool:
    """SD 2.x reads text of width 1024, and mixes in linear layers what SD 1.x does in convolutions."""
    return unet.get("cross_attention_dim") == 1024 or unet.get("use_linear_projection") is True


_PIPELINES_OF: Mapping[str, frozenset[str]] = {
    family.name: frozenset(
        class_name
        for pipelines in (family.pipelines, *(variant.pipelines for variant in family.variants.values()))
        for class_name in pipelines.values()
    )
    for family in FAMILIES.values()
}
"""Family -> the classes that its folders may name."""


def _variant_of_folder(denoiser: dict[str, Any], family: Family, name: str) -> str:
    try:
        return variant_of(family, denoiser.get("in_channels", family.input_channels))
    except OtherKind as other:
        raise ModelFamily(name, other.what, other.advice) from None


def _check_tokenizers(path: Path, parts: Iterable[str], name: str) -> None:
    for part in parts:
        there = [(path / part / file).is_file() for file in ("tokenizer.json", "vocab.json", "merges.txt")]
        if not (there[0] or all(there[1:])):
            raise ModelCorrupt(name, f"{part}/ holds neither tokenizer.json nor vocab.json with merges.txt")


def _native_size(denoiser: dict[str, Any], vae: dict[str, Any], family: Family) -> tuple[int, int]:
    """Latent side times the VAE's reduction; the family's own where that is no size that a request may have."""
    blocks = vae.get("block_out_channels")
    scale = 2 ** (len(blocks) - 1) if isinstance(blocks, list) and 0 < len(blocks) < 10 else 0
    sample = denoiser.get("sample_size")
    sides = sample if isinstance(sample, list) else [sample, sample]
    pixels = [side * scale for side in sides if type(side) is int]
    allowed = all(SIDE_MINIMUM <= side <= SIDE_MAXIMUM and side % SIDE_STEP == 0 for side in pixels)
    return (pixels[1], pixels[0]) if allowed and len(pixels) == len(sides) == 2 else family.native_size
