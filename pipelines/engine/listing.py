"""Model files of one kind that are used beside a checkpoint: listed, told by their headers, and found by name.

In a diffusers folder the weights are called `diffusion_pytorch_model`; such a model has its folder's name.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar, Generic, Protocol, TypeVar

from pipelines.engine.catalog import Catalog
from pipelines.engine.errors import NotListed, Unusable
from pipelines.engine.findings import Findings
from pipelines.engine.headers import BrokenFile, Header, IncompleteFile
from pipelines.engine.jobs import ControlInfo
from pipelines.engine.model import Model, header_of
from pipelines.engine.pickles import UnsafeFile
from pipelines.engine.recognition import OtherKind
from presets.errors import UserError
from presets.names import match_name, near_names

CONFIG = "config.json"

_IN_FOLDER = re.compile(r"(?P<folder>.+)/diffusion_pytorch_model(?P<variant>\.fp16)?")


class ModelFile(Protocol):
    """What a listing holds."""

    def info(self) -> ControlInfo:
        """The file as faces show it."""
        ...

    def check_fits(self, model: Model) -> None:
        """Raise `UserError` for a checkpoint that it is not for."""
        ...


File = TypeVar("File", bound=ModelFile)
Fitting = TypeVar("Fitting", bound=ModelFile)


class Listing(ABC, Generic[File]):
    """The files of one kind there are now, in `folders` under the model roots. Any thread may call it; a file that has
    not changed is not read again."""

    folders: ClassVar[tuple[str, ...]]
    missing: ClassVar[type[NotListed]]
    refused: ClassVar[type[Unusable]]

    def __init__(self, catalog: Catalog):
        self._catalog = catalog
        self._found = Findings(self._inspected, self.refused, _parts)

    @abstractmethod
    def read(self, name: str, path: Path, identity: str, header: Header) -> File:
        """What the header tells. Raises `OtherKind` for a file of another kind, `BrokenFile`, and what comes of parts
        that do not fit together."""

    def list(self) -> tuple[ControlInfo, ...]:
        """All by name, those that cannot be used with the reason as their `problem`."""
        return self.told(dict(self.all()))

    def told(self, found: Mapping[str, File | UserError]) -> tuple[ControlInfo, ...]:
        """As `list`, of `found`."""
        return tuple(
            ControlInfo(name=name, problem=file.message) if isinstance(file, UserError) else file.info()
            for name, file in found.items()
        )

    def find(self, name: str, model: Model) -> File:
        """The file that `name` means, a listed name in any case or its last part, if it fits `model`.

        Raises `missing`, `refused`, and what `check_fits` of the file raises.
        """
        return self.fitting(name, model, dict(self.all()))

    def fitting(self, name: str, model: Model, found: Mapping[str, Fitting | UserError]) -> Fitting:
        """As `find`, in `found`, some of all."""
        match = match_name(name, tuple(found))
        if match is None:
            raise self.missing(name, near_names(name, tuple(found)))
        file = found[match]
        if isinstance(file, UserError):
            raise file.with_traceback(None)
        file.check_fits(model)
        return file

    def all(self) -> Iterator[tuple[str, File | UserError]]:
        """The first of several files of one name counts."""
        taken: set[str] = set()
        for folder in self.folders:
            for name, (path, reason) in _without_variants(self._catalog.files(folder)).items():
                if name not in taken:
                    taken.add(name)
                    yield name, self._found.of(name, path, reason)

    def _inspected(self, name: str, path: Path, identity: str) -> File | UserError:
        """Raises `OSError` for what vanished."""
        try:
            return self.read(name, path, identity, header_of(path))
        except UnsafeFile as problem:
            return self.refused(name, str(problem), "E-MODEL-UNSAFE")
        except (IncompleteFile, BrokenFile) as problem:
            return self.refused(name, str(problem))
        except OtherKind as other:
            return self.refused(name, f"it is {other.what}; {other.advice}", "E-MODEL-FAMILY")
        except (KeyError, IndexError, ValueError, ZeroDivisionError):
            return self.refused(name, "its parts do not fit together")


def config_of(path: Path) -> Path | None:
    """The config of the diffusers folder in which the weights `path` lie."""
    config = path.with_name(CONFIG)
    return config if path.stem.startswith("diffusion_pytorch_model") and config.is_file() else None


def _parts(path: Path) -> Iterator[Path]:
    yield path
    if path.with_name(CONFIG).is_file():
        yield path.with_name(CONFIG)


def _without_variants(files: Mapping[str, tuple[Path, str]]) -> dict[str, tuple[Path, str]]:
    """`files` with those of diffusers folders under their folders' names, each once: whole weights before halves."""
    named: dict[str, tuple[Path, str]] = {}
    halves: dict[str, tuple[Path, str]] = {}
    for name, file in files.items():
        match = _IN_FOLDER.fullmatch(name)
        (halves if match and match["variant"] else named).setdefault(match["folder"] if match else name, file)
    return dict(sorted((halves | named).items(), key=lambda entry: entry[0].lower()))
