"""Models that make a checkpoint follow a control picture, in `controlnets/` under the model roots: ControlNets, unions
of them and T2I-Adapters, as single files and as diffusers folders. What their headers tell; no weights are read.

In a diffusers folder the weights are called `diffusion_pytorch_model`; such a model has its folder's name.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipelines.engine.catalog import Catalog
from pipelines.engine.errors import ControlFamily, ControlNotFound, ControlUnusable, NoControl
from pipelines.engine.families import FAMILIES
from pipelines.engine.findings import Findings
from pipelines.engine.headers import BrokenFile, Header, IncompleteFile
from pipelines.engine.jobs import ControlInfo
from pipelines.engine.model import Model, header_of
from pipelines.engine.pickles import UnsafeFile
from pipelines.engine.recognition import UNET, OtherKind, what_else
from presets.errors import UserError
from presets.names import match_name, near_names

FOLDER = "controlnets"
ORIGINAL = "control_model."
"""What the names in ControlNets of the original layout begin with, if not with nothing."""

Shapes = Mapping[str, tuple[int, ...]]
Kind = Literal["ControlNet", "ControlNet union", "T2I-Adapter"]

_IN_FOLDER = re.compile(r"(?P<folder>.+)/diffusion_pytorch_model(?P<variant>\.fp16)?")


@dataclass(frozen=True, slots=True)
class ControlFile:
    """A control model on disk. `family` is a key of `FAMILIES`, `width` the channels of the UNet's first layer that it
    was made for. `config` is that of a diffusers folder, where it lies in one. `identity` changes when the file does.
    """

    name: str
    path: Path
    identity: str
    kind: Kind
    family: str
    width: int
    size_bytes: int
    config: Path | None = None

    def info(self) -> ControlInfo:
        """The model as faces show it."""
        title = FAMILIES[self.family].title
        return ControlInfo(name=self.name, family=title, kind=self.kind, width=self.width, size_bytes=self.size_bytes)

    def check_fits(self, model: Model) -> None:
        """Raise `ControlFamily` for a checkpoint whose UNet is another than what this was made for. Of a checkpoint of
        the Hub that is not downloaded nothing is known."""
        if model.path is None:
            return
        if self.family != model.family:
            made, wanted = FAMILIES[self.family].title, model.title
            raise ControlFamily(
                self.name, f"is a {self.kind} for {made}, and the checkpoint {model.name} is of {wanted}"
            )
        if model.width and self.width != model.width:
            raise ControlFamily(
                self.name,
                f"was made for models of {self.width} channels, and the checkpoint {model.name} has {model.width}",
            )


class ControlFiles:
    """The control models there are now. Any thread may call it; a file that has not changed is not read again."""

    def __init__(self, catalog: Catalog):
        self._catalog = catalog
        self._found = Findings(_inspected, ControlUnusable, _files)

    def list(self) -> tuple[ControlInfo, ...]:
        """All by name, those that cannot be used with the reason as their `problem`."""
        return tuple(
            ControlInfo(name=name, problem=found.message) if isinstance(found, UserError) else found.info()
            for name, found in self._all()
        )

    def find(self, name: str, model: Model) -> ControlFile:
        """The control model that `name` means: a listed name, in any case, or its last part; "" is the first one that
        fits `model`.

        Raises `ControlNotFound`, `ControlUnusable`, and `ControlFamily` for one that does not fit `model`.
        """
        found = dict(self._all())
        if not name:
            return self._first_for(model, found)
        match = match_name(name, tuple(found))
        if match is None:
            raise ControlNotFound(name, near_names(name, tuple(found)))
        file = found[match]
        if isinstance(file, UserError):
            raise file.with_traceback(None)
        file.check_fits(model)
        return file

    def _first_for(self, model: Model, found: Mapping[str, ControlFile | UserError]) -> ControlFile:
        for file in found.values():
            if isinstance(file, ControlFile) and file.family == model.family and file.width == model.width:
                return file
        raise NoControl(model.name, FOLDER)

    def _all(self) -> Iterator[tuple[str, ControlFile | UserError]]:
        for name, (path, reason) in without_variants(self._catalog.files(FOLDER)).items():
            yield name, self._found.of(name, path, reason)


def without_variants(files: Mapping[str, tuple[Path, str]]) -> dict[str, tuple[Path, str]]:
    """`files` with those of diffusers folders under their folders' names, each once: whole weights before halves."""
    named: dict[str, tuple[Path, str]] = {}
    halves: dict[str, tuple[Path, str]] = {}
    for name, file in files.items():
        match = _IN_FOLDER.fullmatch(name)
        (halves if match and match["variant"] else named).setdefault(match["folder"] if match else name, file)
    return dict(sorted((halves | named).items(), key=lambda entry: entry[0].lower()))


def config_of(path: Path) -> Path | None:
    """The config of the diffusers folder in which the weights `path` lie."""
    config = path.with_name("config.json")
    return config if path.stem.startswith("diffusion_pytorch_model") and config.is_file() else None


def _files(path: Path) -> Iterator[Path]:
    config = config_of(path)
    yield from (path,) if config is None else (path, config)


def _inspected(name: str, path: Path, identity: str) -> ControlFile | UserError:
    """Raises `OSError` for what vanished."""
    try:
        header = header_of(path)
        kind = kind_of(header)
    except UnsafeFile as problem:
        return ControlUnusable(name, str(problem), "E-MODEL-UNSAFE")
    except (IncompleteFile, BrokenFile) as problem:
        return ControlUnusable(name, str(problem))
    except OtherKind as other:
        return ControlUnusable(name, f"it is {other.what}; {other.advice}", "E-MODEL-FAMILY")
    shapes = plain_names(header.shapes)
    try:
        family, width = (_adapter_family if kind == "T2I-Adapter" else _family)(shapes), _width(shapes, kind)
    except (KeyError, IndexError):
        return ControlUnusable(name, "its parts do not fit together")
    return ControlFile(
        name=name,
        path=path,
        identity=identity,
        kind=kind,
        family=family,
        width=width,
        size_bytes=path.stat().st_size,
        config=config_of(path),
    )


def plain_names(shapes: Shapes) -> Shapes:
    """`shapes` of the control model alone, without what its names begin with in the original layout and in diffusers'
    adapters."""
    prefix = next((prefix for prefix in (ORIGINAL, "adapter.") if _has(shapes, prefix)), "")
    return {name.removeprefix(prefix): shape for name, shape in shapes.items() if name.startswith(prefix)}


def kind_of(header: Header) -> Kind:
    """Raises `OtherKind` for what is no control model that is known here."""
    for mark, what in _UNKNOWN.items():
        if any(mark in name for name in header.shapes):
            raise OtherKind(what, "this version follows ControlNets and T2I-Adapters for Stable Diffusion 1.x to XL")
    shapes = plain_names(header.shapes)
    if "input_hint_block.0.weight" in shapes and "zero_convs.0.0.weight" in shapes:
        return "ControlNet"
    if "controlnet_cond_embedding.conv_in.weight" in shapes and "controlnet_down_blocks.0.weight" in shapes:
        return "ControlNet union" if "task_embedding" in shapes else "ControlNet"
    if _has(shapes, "body.1.") and any(name in shapes for name in _ADAPTER_FIRST):
        return "T2I-Adapter"
    if header.has(UNET):
        raise OtherKind("a checkpoint", "move it to the checkpoints folder")
    raise what_else(header)


_UNKNOWN = {
    "lora_controlnet": "a Control-LoRA",
    "lllite_": "a ControlNet-LLLite",
    "controlnet_blocks.": "a ControlNet for a transformer (Flux.1, Stable Diffusion 3.x)",
    "controlnet_x_embedder": "a ControlNet for a transformer (Flux.1, Stable Diffusion 3.x)",
    "motion_modules.": "a ControlNet for video",
}


def _family(shapes: Shapes) -> str:
    """SDXL's read sizes beside the text; SD 2.x's mix in linear layers what SD 1.x's mix in convolutions."""
    if _has(shapes, "add_embedding.") or _has(shapes, "label_emb."):
        return "sdxl"
    mixes = (shape for name, shape in shapes.items() if name.endswith(".proj_in.weight"))
    reads = (shape for name, shape in shapes.items() if name.endswith("attn2.to_k.weight"))
    is_sd2 = any(len(shape) == 2 for shape in mixes) or any(shape[-1] == 1024 for shape in reads)
    return "sd2" if is_sd2 else "sd1"


def _adapter_family(shapes: Shapes) -> str:
    """Adapters read squares of eight by eight pixels, those for SDXL of sixteen, in grey or in three colours."""
    return "sdxl" if squares_of(shapes)[1] == 16 else "sd1"


def squares_of(shapes: Shapes) -> tuple[int, int]:
    """The colours that an adapter reads, and the side of the squares that it reads at once. Raises `KeyError` and
    `IndexError`."""
    full, light = _ADAPTER_FIRST
    return _SQUARES[shapes[full if full in shapes else light][1]]


_ADAPTER_FIRST = ("conv_in.weight", "body.0.in_conv.weight")
"""What an adapter reads its picture with: a full one, and a light one."""


_SQUARES = {colours * side**2: (colours, side) for colours in (1, 3) for side in (8, 16)}


def _width(shapes: Shapes, kind: Kind) -> int:
    names = ("conv_in.weight", "body.0.out_conv.weight") if kind == "T2I-Adapter" else _FIRST
    return next((shapes[name][0] for name in names if name in shapes), 0)


_FIRST = ("conv_in.weight", "input_blocks.0.0.weight")


def _has(shapes: Iterable[str], prefix: str) -> bool:
    return any(name.startswith(prefix) for name in shapes)
