"""Files of models that make pictures of pictures, from their headers. No weights are read, nothing is unpickled.

Which architecture one has is told by spandrel once it is loaded: the web process has no PyTorch.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pipelines.engine.catalog import Catalog
from pipelines.engine.errors import NotListed, Unusable
from pipelines.engine.findings import Findings
from pipelines.engine.headers import BrokenFile, Header, IncompleteFile
from pipelines.engine.model import GGUF, header_of
from pipelines.engine.pickles import UnsafeFile
from presets.errors import UserError
from presets.names import match_name, near_names


@dataclass(frozen=True, slots=True)
class PictureModelFile:
    """A file that may be such a model as far as its header tells. `identity` changes when the file does."""

    name: str
    path: Path
    size_bytes: int
    identity: str


class PictureModelFiles(ABC):
    """The models of one kind there are now, in `folders` under the model roots. Any thread may call it; a file that has
    not changed is not read again."""

    folders: ClassVar[tuple[str, ...]]
    missing: ClassVar[type[NotListed]]
    refused: ClassVar[type[Unusable]]

    def __init__(self, catalog: Catalog):
        self._catalog = catalog
        self._found = Findings(self._inspected, self.refused)

    @abstractmethod
    def objection(self, header: Header) -> str:
        """Why a file with that header is of another kind, as the end of a sentence; empty where it may be of this."""

    def usable(self) -> list[str]:
        """The names of those that can be used as far as their headers tell."""
        files = self._files()
        return [name for name in files if isinstance(self._found.of(name, *files[name]), PictureModelFile)]

    def find(self, name: str) -> PictureModelFile:
        """The model that `name` means: a listed name, in any case, or its last part. Raises `missing` or `refused`."""
        files = self._files()
        match = match_name(name, tuple(files))
        if match is None:
            raise self.missing(name, near_names(name, (*files, *self._others())))
        found = self._found.of(match, *files[match])
        if isinstance(found, UserError):
            raise found.with_traceback(None)
        return found

    def mark(self, file: PictureModelFile, error: UserError) -> None:
        """Have `error` be the answer for `file` until it changes: what is wrong with it was found only by using it."""
        self._found.mark(file.name, file.path, file.identity, error)

    def _others(self) -> tuple[str, ...]:
        """What else the name can be, in lower case. No model is found under these names."""
        return ()

    def _files(self) -> dict[str, tuple[Path, str]]:
        """The first of several files of one name counts."""
        found: dict[str, tuple[Path, str]] = {}
        for folder in self.folders:
            found = {**self._catalog.files(folder), **found}
        return {name: found[name] for name in sorted(found, key=str.lower) if name.lower() not in self._others()}

    def _inspected(self, name: str, path: Path, identity: str) -> PictureModelFile | UserError:
        """Raises `OSError` for what vanished."""
        if path.suffix.lower() == GGUF:
            return self.refused(name, f"no {self.refused.what} comes as GGUF")
        try:
            header = header_of(path)
        except UnsafeFile as problem:
            return self.refused(name, str(problem), "E-MODEL-UNSAFE")
        except IncompleteFile as problem:
            return self.refused(name, f"{problem}; if it is still being copied, wait until it is there")
        except BrokenFile as problem:
            return self.refused(name, str(problem))
        if not header.shapes:
            return self.refused(name, "it holds no tensors")
        objection = self.objection(header)
        if objection:
            return self.refused(name, objection, "E-MODEL-FAMILY")
        return PictureModelFile(name, path, path.stat().st_size, identity)
