"""The LoRAs in `loras/` under the model roots: what their headers, metadata and neighbours tell. No weights are read.

Metadata is what a stranger wrote: it is looked at with care, and only ever shown.
"""

import math
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from pipelines.engine import plain_json
from pipelines.engine.catalog import Catalog
from pipelines.engine.errors import LoraFamily, LoraNotFound, LoraUnusable
from pipelines.engine.families import FAMILIES
from pipelines.engine.findings import Findings
from pipelines.engine.headers import BrokenFile, Header, read_header
from pipelines.engine.jobs import LoraInfo
from pipelines.engine.lora_keys import TEXT, TEXT_2, Layer, flat, grouped, is_whole, kind_of, rank_of
from presets.errors import UserError
from presets.fields import without_control_characters
from presets.names import match_name, near_names

FOLDER = "loras"
LIST_SECONDS = 0.25
"""How long one listing may read new files; the rest are listed by their names alone until the next."""
METADATA_LIMIT = 2**21
"""Characters of one entry. Longer ones are not looked at."""
MOST_COMPONENTS = 8
"""Of which PEFT's notes are read."""
MOST_PATTERNS = 5000
"""Layers for which they may name an alpha."""
WORDS_SHOWN = 8
WORD_LIMIT = 80
PREVIEW_LIMIT = 16 * 2**20
_HASH = re.compile("[0-9a-f]{8,64}")

_PREVIEWS = (".png", ".jpg", ".jpeg", ".webp", ".preview.png", ".preview.jpg", ".preview.jpeg", ".preview.webp")


@dataclass(frozen=True, slots=True)
class LoraFile:
    """A LoRA on disk that can be used as far as its header tells.

    `family` is a key of `FAMILIES`, or empty where the header does not tell it. `kind` is "LoRA", "LoCon", "LoHa",
    "LoKr", "DoRA" or "weights" (whole differences). `identity` changes when the file does.
    """

    name: str
    path: Path
    identity: str
    family: str
    kind: str
    rank: int | None
    size_bytes: int
    trigger_words: tuple[str, ...] = ()
    base_model: str = ""
    hashes: tuple[str, ...] = ()

    def info(self) -> LoraInfo:
        """The LoRA as faces show it."""
        title = FAMILIES[self.family].title if self.family in FAMILIES else ""
        return LoraInfo(
            name=self.name,
            family=title,
            kind=self.kind,
            rank=self.rank,
            size_bytes=self.size_bytes,
            trigger_words=self.trigger_words,
            base_model=self.base_model,
            hashes=self.hashes,
            preview=_preview(self.path),
        )


class LoraFiles:
    """The LoRAs there are now. Any thread may call it; a file that has not changed is not read again."""

    def __init__(self, catalog: Catalog):
        self._catalog = catalog
        self._found = Findings(_inspected, LoraUnusable)

    def list(self) -> tuple[LoraInfo, ...]:
        """All files by name, those that cannot be used with the reason as their `problem`."""
        files = self._catalog.files(FOLDER)
        until = time.monotonic() + LIST_SECONDS
        self._found.keep({path for path, _ in files.values()})
        return tuple(self._info(name, path, reason, until) for name, (path, reason) in files.items())

    def paths(self) -> dict[str, Path]:
        """The files that may be read, by name."""
        files = self._catalog.files(FOLDER).items()
        return {name: path for name, (path, reason) in files if not reason and path.suffix.lower() == ".safetensors"}

    def find(self, name: str) -> LoraFile:
        """The LoRA that `name` means: a listed name, in any case, or its last part.

        Raises `LoraNotFound`, `LoraUnusable` or `LoraFamily`.
        """
        files = self._catalog.files(FOLDER)
        match = match_name(name, tuple(files))
        if match is None:
            raise LoraNotFound(name, near_names(name, tuple(files)))
        found = self._found.of(match, *files[match])
        if isinstance(found, UserError):
            raise found.with_traceback(None)
        return found

    def listed_names(self, names: Iterable[str], family: str | None) -> dict[str, str]:
        """Each of `names` -> the listed name that it means.

        Raises as `find` does, and `LoraFamily` for one that is known not to be for `family` (None: not known yet).
        """
        files = {name: self.find(name) for name in names}
        for file in files.values():
            if family is not None:
                check_family(file, family)
        return {name: file.name for name, file in files.items()}

    def _info(self, name: str, path: Path, reason: str, until: float) -> LoraInfo:
        if path not in self._found and time.monotonic() > until:
            return LoraInfo(name=name)
        found = self._found.of(name, path, reason)
        return LoraInfo(name=name, problem=found.message) if isinstance(found, UserError) else found.info()


def check_family(file: LoraFile, family: str) -> None:
    """Raises `LoraFamily` where the LoRA is known to be for other models than those of `family`."""
    if file.family and file.family != family:
        made, wanted = (FAMILIES[key].title if key in FAMILIES else key for key in (file.family, family))
        raise LoraFamily(file.name, f"is a LoRA for {made}, and the checkpoint is of {wanted}")


def _inspected(name: str, path: Path, identity: str) -> LoraFile | UserError:
    """Raises `OSError` for what vanished."""
    if path.suffix.lower() != ".safetensors":
        return LoraUnusable(name, "a pickled file can run code; convert it to safetensors", "E-MODEL-UNSAFE")
    try:
        header = read_header(path)
    except BrokenFile as problem:
        return LoraUnusable(name, str(problem))
    layers, _ = grouped(header.shapes)
    whole = {layer: parts for layer, parts in layers.items() if is_whole(parts)}
    if not whole:
        return LoraFamily(name, "lies among the LoRAs, but holds no weights of a LoRA that Easel knows")
    return LoraFile(
        name=name,
        path=path,
        identity=identity,
        family=family_of(header),
        kind=kind_of(whole, header.shapes),
        rank=rank_of(whole, header.shapes),
        size_bytes=path.stat().st_size,
        trigger_words=trigger_words(header.metadata),
        base_model=base_model(header.metadata),
        hashes=noted_hashes(header.metadata),
    )


_FAMILY_BY_TEXT_WIDTH = {768: "sd1", 1024: "sd2", 2048: "sdxl"}
_FAMILY_BY_PLACE = (
    ("joint_transformer_blocks", "sd3"),
    ("joint_blocks", "sd3"),
    ("double_blocks", "flux"),
    ("single_transformer_blocks", "flux"),
    ("single_blocks", "flux"),
)
_FAMILY_BY_ARCHITECTURE = (
    ("stable-diffusion-xl", "sdxl"), ("sdxl", "sdxl"), ("stable-diffusion-v1", "sd1"), ("sd_v1", "sd1"),
    ("stable-diffusion-v2", "sd2"), ("sd_v2", "sd2"), ("stable-diffusion-3", "sd3"), ("sd3", "sd3"), ("flux", "flux"),
)  # fmt: skip


def family_of(header: Header) -> str:
    """The family by the width of the text that cross attention reads, by names that only one family has, or at last
    by what the metadata claims; empty where nothing tells."""
    layers, _ = grouped(header.shapes)
    for layer, parts in layers.items():
        if layer.path.endswith(("attn2_to_k", "attn2_to_v")):
            family = _FAMILY_BY_TEXT_WIDTH.get(_input_width(parts, header.shapes))
            if family:
                return family
    for mark, family in _FAMILY_BY_PLACE:
        if any(mark in layer.path for layer in layers):
            return family
    return _by_encoders(layers) or _by_metadata(header.metadata)


def _input_width(parts: Mapping[str, str], shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Numbers that the layer reads; 0 where that cannot be told."""
    for role in ("down", "hada_w1_b", "diff"):
        if role in parts and len(shapes[parts[role]]) > 1:
            return shapes[parts[role]][1]
    factors = [shapes[parts[role]] for role in ("lokr_w1", "lokr_w1_b", "lokr_w2", "lokr_w2_b") if role in parts]
    return math.prod(shape[1] for shape in factors if len(shape) > 1)


def _by_encoders(layers: Iterable[Layer]) -> str:
    components = {layer.component for layer in layers}
    return "sdxl" if {TEXT, TEXT_2} <= components else ""


def _by_metadata(metadata: Mapping[str, Any]) -> str:
    for key in ("modelspec.architecture", "ss_base_model_version"):
        claimed = _text(metadata, key).lower()
        for mark, family in _FAMILY_BY_ARCHITECTURE:
            if mark in claimed:
                return family
    return ""


def trigger_words(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """What to write in the prompt: the phrase that the author names, else the tags of at least half the pictures."""
    phrase = _text(metadata, "modelspec.trigger_phrase") or _text(metadata, "modelspec.trigger_word")
    words = phrase.split(",") if phrase else _frequent_tags(_text(metadata, "ss_tag_frequency"))
    cleaned = (" ".join(without_control_characters(word).split())[:WORD_LIMIT] for word in words)
    return tuple(dict.fromkeys(word for word in cleaned if word))[:WORDS_SHOWN]


def _frequent_tags(text: str) -> list[str]:
    """The tags that kohya's trainer counted, by folder of pictures: the most frequent of each, if it is not alone."""
    counted: dict[str, float] = {}
    folders = _json_object(text)
    for tags in folders.values():
        for tag, count in tags.items() if isinstance(tags, dict) else ():
            if isinstance(count, int | float) and math.isfinite(count):
                counted[tag] = counted.get(tag, 0) + count
    most = max(counted.values(), default=0)
    frequent = [tag for tag, count in counted.items() if count * 2 >= most]
    return sorted(frequent, key=lambda tag: -counted[tag])[:WORDS_SHOWN]


def base_model(metadata: Mapping[str, Any]) -> str:
    """The model that it was trained on, as its author's program noted it; of a path the last part."""
    for key in ("ss_sd_model_name", "base_model", "base_model_name_or_path", "ss_base_model_version"):
        name = without_control_characters(_text(metadata, key)).strip()
        if name:
            is_hub_id = key.startswith("base_model") and name.count("/") == 1
            return (name if is_hub_id else name.replace("\\", "/").rsplit("/", 1)[-1])[:WORD_LIMIT]
    return ""


def noted_hashes(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """The hashes of its weights, as its trainer noted them: kohya's are what A1111 writes into pictures."""
    texts = (_text(metadata, key).lower().removeprefix("0x") for key in ("sshs_model_hash", "modelspec.hash_sha256"))
    return tuple(dict.fromkeys(text for text in texts if _HASH.fullmatch(text)))


def _text(metadata: Mapping[str, Any], key: str) -> str:
    value = metadata.get(key)
    return value if isinstance(value, str) and len(value) <= METADATA_LIMIT else ""


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = plain_json.parse(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _preview(path: Path) -> Path | None:
    """The picture of the same name beside the file."""
    for ending in _PREVIEWS:
        picture = path.with_name(path.stem + ending)
        try:
            if picture.is_file() and not picture.is_symlink() and picture.stat().st_size <= PREVIEW_LIMIT:
                return picture
        except OSError:
            return None
    return None


@dataclass(frozen=True, slots=True)
class PeftConfig:
    """What PEFT notes beside the weights for layers that hold no alpha of their own: `alpha`, others `by_path` (the
    end of a flat path), and whether it is divided by the rank's root instead of the rank."""

    alpha: float
    by_path: Mapping[str, float]
    by_root: bool

    def scale(self, path: str, rank: int) -> float:
        """The factor of the change to the layer at the flat `path`."""
        words = path.split("_")
        ends = {"_".join(words[place:]) for place in range(len(words))} & self.by_path.keys()
        first = next((end for end in self.by_path if end in ends), "") if len(ends) > 1 else "".join(ends)
        return self.by_path.get(first, self.alpha) / (math.sqrt(rank) if self.by_root else rank)


def peft_configs(path: Path, metadata: Mapping[str, Any]) -> dict[str, PeftConfig]:
    """By component, "" for all: from the metadata that diffusers writes, or the file that PEFT writes beside."""
    values = _json_object(_text(metadata, "lora_adapter_metadata"))
    alphas = [key for key in values if key.endswith(".lora_alpha")][:MOST_COMPONENTS]
    by_component = {
        key.removesuffix(".lora_alpha"): {
            name.removeprefix(key.removesuffix("lora_alpha")): value
            for name, value in values.items()
            if name.startswith(key.removesuffix("lora_alpha"))
        }
        for key in alphas
    }
    if path.stem == "adapter_model":
        by_component[""] = _config_beside(path)
    configs = {component: _peft_config(config) for component, config in by_component.items()}
    return {component: config for component, config in configs.items() if config}


def _config_beside(path: Path) -> dict[str, Any]:
    config = path.with_name("adapter_config.json")
    try:
        if config.is_file() and not config.is_symlink() and config.stat().st_size <= METADATA_LIMIT:
            return _json_object(config.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return {}
    return {}


def _peft_config(values: Mapping[str, Any]) -> PeftConfig | None:
    alpha, by_path = values.get("lora_alpha"), values.get("alpha_pattern")
    if not _is_number(alpha):
        return None
    ends = by_path.items() if isinstance(by_path, dict) and len(by_path) <= MOST_PATTERNS else ()
    alphas = {flat(str(end)): float(value) for end, value in ends if _is_number(value)}
    return PeftConfig(float(alpha), alphas, values.get("use_rslora") is True)


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and abs(value) < 1e9
