"""Models that make a checkpoint follow a control picture, in `controlnets/` under the model roots: ControlNets, unions
of them and T2I-Adapters, as single files and as diffusers folders. What their headers tell; no weights are read.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipelines.engine.errors import ControlFamily, ControlNotFound, ControlUnusable, NoControl
from pipelines.engine.families import FAMILIES
from pipelines.engine.headers import Header
from pipelines.engine.jobs import ControlInfo
from pipelines.engine.listing import Listing, config_of
from pipelines.engine.model import Model
from pipelines.engine.recognition import UNET, OtherKind, what_else

ORIGINAL = "control_model."
"""What the names in ControlNets of the original layout begin with, if not with nothing."""

Shapes = Mapping[str, tuple[int, ...]]
Kind = Literal["ControlNet", "ControlNet union", "T2I-Adapter"]


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


class ControlFiles(Listing[ControlFile]):
    """The control models there are now."""

    folders = ("controlnets",)
    missing = ControlNotFound
    refused = ControlUnusable

    def find(self, name: str, model: Model) -> ControlFile:
        """As of any listing; "" means the first one that fits `model`. Raises `NoControl` where there is none, too."""
        return super().find(name, model) if name else self._first_for(model)

    def _first_for(self, model: Model) -> ControlFile:
        for _, file in self.all():
            if isinstance(file, ControlFile) and file.family == model.family and file.width == model.width:
                return file
        raise NoControl(model.name, self.folders[0])

    def read(self, name: str, path: Path, identity: str, header: Header) -> ControlFile:
        kind = kind_of(header)
        shapes = plain_names(header.shapes)
        return ControlFile(
            name=name,
            path=path,
            identity=identity,
            kind=kind,
            family=(_adapter_family if kind == "T2I-Adapter" else _family)(shapes),
            width=_width(shapes, kind),
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
