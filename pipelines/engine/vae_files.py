"""VAEs in files of their own: what the headers of those in `vae/` tell."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipelines.engine.errors import VaeRefused
from pipelines.engine.families import FAMILIES, Family
from pipelines.engine.headers import BrokenFile
from pipelines.engine.model import header_of
from pipelines.engine.pickles import UnsafeFile

Shapes = Mapping[str, tuple[int, ...]]

PREFIXES = ("first_stage_model.", "vae.", "")
"""What the names in such files begin with; the last that fits is taken."""


@dataclass(frozen=True, slots=True)
class VaeFile:
    """A VAE in one file. `channels` are its latents'; `family` is "" where the file does not name one. `identity`
    changes when the file does."""

    name: str
    path: Path
    channels: int
    family: str
    size_bytes: int
    identity: str

    def check_family(self, family: Family) -> None:
        """Raise `VaeRefused` for a checkpoint's family whose latents this VAE cannot read."""
        if self.channels != family.latent_channels:
            raise VaeRefused(
                self.name,
                f"its latents have {self.channels} channels, those of {family.title} {family.latent_channels}",
            )
        if self.family and self.family != family.name:
            raise VaeRefused(self.name, f"it was made for {FAMILIES[self.family].title}, not for {family.title}")


def inspect_vae(name: str, path: Path, identity: str) -> VaeFile | VaeRefused:
    """The VAE in the regular file `path`, or why it is none. Raises `OSError` if it vanishes."""
    try:
        header = header_of(path)
    except (BrokenFile, UnsafeFile) as problem:
        return VaeRefused(name, str(problem))
    prefix = prefix_of(header.shapes)
    shape = header.shapes.get(f"{prefix}decoder.conv_in.weight", ())
    if len(shape) != 4 or f"{prefix}encoder.conv_in.weight" not in header.shapes:
        return VaeRefused(name, "it holds no encoder and decoder of a VAE")
    architecture = str(header.metadata.get("modelspec.architecture", ""))
    family = next((family for mark, family in _ARCHITECTURES.items() if architecture.startswith(mark)), "")
    return VaeFile(name, path, shape[1], family, path.stat().st_size, identity)


def prefix_of(shapes: Shapes) -> str:
    """What the names of a VAE's tensors begin with in this file."""
    return next(prefix for prefix in PREFIXES if not prefix or any(name.startswith(prefix) for name in shapes))


_ARCHITECTURES = {
    "stable-diffusion-xl-v1": "sdxl",
    "stable-diffusion-v1": "sd1",
    "stable-diffusion-v2": "sd2",
    "stable-diffusion-v3": "sd3",
    "stable-diffusion-3": "sd3",
    "flux": "flux",
}
"""Beginnings of ModelSpec's architecture."""
