"""The upscaling models on this machine, from their headers. No weights are read, nothing is unpickled.

They lie in `upscalers/` under the model roots, or in folders of the names that other programs give theirs. Which
architecture one has is told by spandrel once it is loaded: the web process has no PyTorch.
"""

from dataclasses import dataclass
from pathlib import Path

from pipelines.engine.catalog import Catalog
from pipelines.engine.errors import UpscalerNotFound, UpscalerRefused
from pipelines.engine.findings import Findings
from pipelines.engine.headers import BrokenFile, IncompleteFile
from pipelines.engine.model import GGUF, header_of
from pipelines.engine.pickles import UnsafeFile
from presets.errors import UserError
from presets.names import match_name, near_names
from presets.upscale_fields import RESAMPLERS

FOLDERS = ("upscalers", "upscale_models", "ESRGAN", "RealESRGAN", "SwinIR", "DAT")
DEFAULT = "storybook-x2"
"""The model that ships."""
_OTHERS = (
    ("model.diffusion_model.", "a checkpoint"),
    ("first_stage_model.", "a checkpoint or VAE"),
    ("lora_", "a LoRA"),
    ("text_model.", "a text encoder"),
    ("decoder.conv_in.", "a VAE"),
)
"""Beginnings of tensors' names that no upscaler has, and what such a file is."""


@dataclass(frozen=True, slots=True)
class UpscalerFile:
    """A file that may be an upscaler as far as its header tells. `identity` changes when the file does."""

    name: str
    path: Path
    size_bytes: int
    identity: str


class UpscalerFiles:
    """The upscalers there are now. Any thread may call it; a file that has not changed is not read again."""

    def __init__(self, catalog: Catalog):
        self._catalog = catalog
        self._found = Findings(_inspected, UpscalerRefused)

    def names(self) -> tuple[str, ...]:
        """The models that can be used as far as their headers tell, the one that ships first, then plain resampling."""
        files = self._files()
        usable = [name for name in files if isinstance(self._found.of(name, *files[name]), UpscalerFile)]
        return (*sorted(usable, key=lambda name: name != DEFAULT), *RESAMPLERS)

    def listed(self, name: str) -> str:
        """The listed name of the model or way of resampling that `name` means; "" is the model that ships.

        Raises as `find` does.
        """
        wanted = name.strip().lower()
        return wanted if wanted in RESAMPLERS else self.find(name).name

    def find(self, name: str) -> UpscalerFile:
        """The model that `name` means: a listed name, in any case, or its last part.

        Raises `UpscalerNotFound` or `UpscalerRefused`.
        """
        files = self._files()
        match = match_name(name or DEFAULT, tuple(files))
        if match is None:
            raise UpscalerNotFound(name, near_names(name, (*files, *RESAMPLERS)))
        found = self._found.of(match, *files[match])
        if isinstance(found, UserError):
            raise found.with_traceback(None)
        return found

    def mark(self, file: UpscalerFile, error: UserError) -> None:
        """Have `error` be the answer for `file` until it changes: what is wrong with it was found only by using it."""
        self._found.mark(file.name, file.path, file.identity, error)

    def _files(self) -> dict[str, tuple[Path, str]]:
        """The first of several files of one name counts."""
        found: dict[str, tuple[Path, str]] = {}
        for folder in FOLDERS:
            found = {**self._catalog.files(folder), **found}
        return {name: found[name] for name in sorted(found, key=str.lower) if name.lower() not in RESAMPLERS}


def _inspected(name: str, path: Path, identity: str) -> UpscalerFile | UserError:
    """Raises `OSError` for what vanished."""
    if path.suffix.lower() == GGUF:
        return UpscalerRefused(name, "no upscaler comes as GGUF")
    try:
        shapes = header_of(path).shapes
    except UnsafeFile as problem:
        return UpscalerRefused(name, str(problem), "E-MODEL-UNSAFE")
    except IncompleteFile as problem:
        return UpscalerRefused(name, f"{problem}; if it is still being copied, wait until it is there")
    except BrokenFile as problem:
        return UpscalerRefused(name, str(problem))
    if not shapes:
        return UpscalerRefused(name, "it holds no tensors")
    for beginning, what in _OTHERS:
        if any(tensor.startswith(beginning) for tensor in shapes):
            return UpscalerRefused(name, f"it is {what}, no upscaler", "E-MODEL-FAMILY")
    return UpscalerFile(name, path, path.stat().st_size, identity)
