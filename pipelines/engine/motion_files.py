"""Motion modules (https://arxiv.org/abs/2307.04725), by which a checkpoint draws the frames of an animation together,
in `motion_modules/` under the model roots: in AnimateDiff's own layout and as diffusers folders. What their headers
tell; no weights are read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipelines.engine.errors import MotionFamily, MotionNotFound, MotionUnusable
from pipelines.engine.families import FAMILIES
from pipelines.engine.headers import Header
from pipelines.engine.jobs import ControlInfo
from pipelines.engine.listing import Listing, config_of
from pipelines.engine.model import Model
from pipelines.engine.recognition import UNET, OtherKind, what_else
from presets.errors import InvalidField

MARK = "motion_modules."
ORIGINAL = "temporal_transformer."
"""Stands in the names of the original layout."""
USUAL_FRAMES = 32
"""That a file in diffusers' layout can do, where no config tells: such files leave out what tells it."""

Shapes = Mapping[str, tuple[int, ...]]
Layout = Literal["original", "diffusers"]

_FAMILIES = {(320, 640, 1280, 1280): ("sd1", "sd2"), (320, 640, 1280): ("sdxl",)}
"""The families by the channels of their UNets' levels, in the size that they were published in."""
ANIMATION = "animation"
"""The task that a family's row has the diffusers class for."""


@dataclass(frozen=True, slots=True)
class MotionFile:
    """A motion module on disk. `widths` are the channels of the levels of the UNet that it was made for, `frames` how
    many it can draw at most. `config` is that of a diffusers folder. `identity` changes when the file does."""

    name: str
    path: Path
    identity: str
    layout: Layout
    widths: tuple[int, ...]
    frames: int
    size_bytes: int
    config: Path | None = None

    @property
    def made_for(self) -> str:
        """The families' titles, empty where it is for none in the size that was published."""
        return " and ".join(FAMILIES[family].title for family in _FAMILIES.get(self.widths, ()))

    def info(self) -> ControlInfo:
        """The module as faces show it."""
        kind = f"{self.frames} frames"
        return ControlInfo(
            name=self.name, family=self.made_for, kind=kind, width=self.widths[0], size_bytes=self.size_bytes
        )

    def check_fits(self, model: Model) -> None:
        """Raise `MotionFamily` for a checkpoint that it cannot move. Of one of the Hub that is not downloaded nothing
        is known, and of the further levels of another size only once it is loaded."""
        if model.path is None:
            return
        if ANIMATION not in model.pipelines:
            raise MotionFamily(f"Motion modules do not go with {model.name}, which is of {model.title}")
        families = _FAMILIES.get(self.widths, (model.family,))
        if self.widths[0] != model.width or model.family not in families:
            made = self.made_for or f"a UNet of {', '.join(map(str, self.widths))} channels"
            raise MotionFamily(f"{self.name} was made for {made}, and the checkpoint {model.name} is of {model.title}")

    def check_frames(self, frames: int) -> None:
        """Raise `InvalidField` for more than it can draw."""
        if frames > self.frames:
            raise InvalidField(
                "frames", f"{frames} frames are more than {self.name} can draw: at most {self.frames}.", code="E-MOTION"
            )


class MotionFiles(Listing[MotionFile]):
    """The motion modules there are now."""

    folders = ("motion_modules",)
    missing = MotionNotFound
    refused = MotionUnusable

    def read(self, name: str, path: Path, identity: str, header: Header) -> MotionFile:
        shapes = _module_shapes(header)
        return MotionFile(
            name=name,
            path=path,
            identity=identity,
            layout="original" if any(ORIGINAL in tensor for tensor in shapes) else "diffusers",
            widths=_widths(shapes),
            frames=_frames(shapes),
            size_bytes=path.stat().st_size,
            config=config_of(path),
        )


def plain(name: str) -> str:
    """The name of a tensor without what it begins with where a training wrote it."""
    return name.removeprefix("module.")


def _module_shapes(header: Header) -> Shapes:
    """Raises `OtherKind` for what is no motion module that can be used here."""
    shapes = {plain(name): shape for name, shape in header.shapes.items()}
    if any("lora" in name for name in shapes):
        raise OtherKind("a motion LoRA", "this version moves pictures by whole motion modules")
    if "conv_in.weight" in shapes and any(MARK in name for name in shapes):
        raise OtherKind("a motion module that begins with a picture (PIA)", "choose one that begins with noise")
    if not any(MARK in name for name in shapes):
        if header.has(UNET):
            raise OtherKind("a checkpoint", "move it to the checkpoints folder")
        raise what_else(header)
    others = [name for name in shapes if MARK not in name]
    if others:
        raise OtherKind("a video model of a kind that Easel does not know", "choose an AnimateDiff motion module")
    return shapes


def _widths(shapes: Shapes) -> tuple[int, ...]:
    """Raises `ValueError` where there are no levels, or one is missing."""
    found = {
        int(name.split(".")[1]): shape[0]
        for name, shape in shapes.items()
        if name.startswith("down_blocks.") and name.endswith("motion_modules.0." + _proj(name))
    }
    widths = tuple(found[level] for level in range(len(found)))
    if not widths:
        raise ValueError
    return widths


def _proj(name: str) -> str:
    return f"{ORIGINAL}proj_in.weight" if ORIGINAL in name else "proj_in.weight"


def _frames(shapes: Shapes) -> int:
    """As many as there are places for in time."""
    places = [shape[1] for name, shape in shapes.items() if name.endswith(("pos_encoder.pe", "pos_embed.pe"))]
    return min(places, default=USUAL_FRAMES)
