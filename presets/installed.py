"""What requests ask of the machine that they are to run on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from presets.preprocess_fields import Name


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint by its listed name. `native_size` is (width, height), `grid` what its sides are multiples of, in
    pixels."""

    name: str
    native_size: tuple[int, int]
    grid: int


class Installed(Protocol):
    """What is installed. Names come back as they are listed; each method raises `UserError` for what is not there, and
    for what does not fit."""

    def checkpoint(self, name: str, kind: str) -> Checkpoint:
        """The checkpoint that `name` means ("" is the default), if it can do requests of `kind`."""
        ...

    def check_size(self, checkpoint: str, size: tuple[int, int]) -> None:
        """Raise if the checkpoint cannot draw at (width, height) `size`, or this machine may not."""
        ...

    def check_soft_mask(self, checkpoint: str) -> None:
        """Raise if the checkpoint cannot redraw some places of a picture more than others."""
        ...

    def vae(self, name: str, checkpoint: str) -> str:
        """The listed VAE, if it fits the checkpoint."""
        ...

    def upscaler(self, name: str) -> str:
        """The listed name of a model that makes pictures larger, or of plain resampling; "" is the model that ships."""
        ...

    def face_restorer(self, name: str) -> str:
        """The listed name of a model that restores faces."""
        ...

    def check_preprocessor(self, name: Name) -> None:
        """Raise if what the preprocessor loads is not here and cannot come."""
        ...

    def loras(self, names: Sequence[str], checkpoint: str) -> Mapping[str, str]:
        """Each of `names` and the LoRA's listed name, if they all fit the checkpoint."""
        ...

    def ip_adapters(self, names: Sequence[str], checkpoint: str) -> Mapping[str, str]:
        """Each of `names` ("" is the first that fits) and the IP-Adapter's listed name, if they all fit the checkpoint
        and what they read pictures by is here."""
        ...

    def motion_module(self, name: str, checkpoint: str, frames: int) -> str:
        """The motion module's listed name, if it fits the checkpoint and can draw so many frames."""
        ...

    def controls(self, names: Sequence[str], checkpoint: str) -> Mapping[str, str]:
        """Each of `names` ("" is the first that fits) and the control model's listed name, if they all fit the
        checkpoint."""
        ...
