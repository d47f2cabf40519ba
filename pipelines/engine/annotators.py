"""The files of detectors that make control pictures: found in `annotators/` under the folders of models, else had from
the Hugging Face Hub. Names come from the table of preprocessors alone. No torch here."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from pipelines.engine.errors import PreprocessorMissing
from pipelines.engine.hub import HUB_PROBLEMS, cached_file, download_files, reason_of
from pipelines.engine.jobs import Event, PreprocessorInfo
from presets.preprocess_fields import Name
from presets.preprocessors import FOLDER, PREPROCESSORS, Weights

DEPTH = 4
"""Folders below `annotators/` that are looked into: copies of Hub repositories bring some of their own."""
CONFIG_LIMIT = 2**20


class Annotators:
    """Any thread and process may use it: it keeps nothing."""

    def __init__(self, roots: Sequence[Path], *, offline: bool):
        self._roots = tuple(roots)
        self._offline = offline

    def list(self) -> tuple[PreprocessorInfo, ...]:
        """All preprocessors, and whether what they need is on this machine."""
        here = tuple(self._walk())
        return tuple(_info(name, here) for name in PREPROCESSORS)

    def check(self, name: Name) -> None:
        """Raise `PreprocessorMissing` if the preprocessor cannot work, as far as can be told without the network."""
        weights = PREPROCESSORS[name].weights
        if weights and self._offline and self.find(weights) is None:
            raise self._missing(name, weights, "Easel was told to stay offline")

    def find(self, weights: Weights) -> tuple[Path, ...] | None:
        """The files on this machine, in their order; None if any is missing."""
        found = _found(weights, tuple(self._walk()))
        return tuple(path for path in found if path) if all(found) else None

    def fetch(self, name: Name, report: Callable[[Event], None]) -> tuple[Path, ...]:
        """The files of the preprocessor, which has some, those downloaded that are not here. Raises
        `PreprocessorMissing` and what `report` raises."""
        weights = PREPROCESSORS[name].weights
        assert weights
        self.check(name)
        found = _found(weights, tuple(self._walk()))
        if weights.architecture and not all(found):  # its files belong into one folder
            found = [None] * len(weights.files)
        wanted = [file for file, path in zip(weights.files, found, strict=True) if path is None]
        try:
            fetched = iter(download_files(weights.repository, wanted, report) if wanted else ())
            return tuple(path or next(fetched) for path in found)
        except HUB_PROBLEMS as problem:
            raise self._missing(name, weights, reason_of(problem)) from problem

    def _missing(self, name: Name, weights: Weights, reason: str) -> PreprocessorMissing:
        here = {path.name for path in self._walk()} if not weights.architecture else ()
        missing = [file for file in weights.names if file not in here]
        folder = self._roots[0] / FOLDER
        return PreprocessorMissing(PREPROCESSORS[name].title, missing, folder, weights.repository, reason)

    def _walk(self) -> Iterator[Path]:
        """Regular files that lie in the folders, those of the first folder first. Links may lead to any folder of
        models, and nowhere else."""
        allowed = [root.resolve() for root in self._roots]
        for folder in (root / FOLDER for root in self._roots):
            for place, folders, files in os.walk(folder):
                folders[:] = sorted(folders) if len(Path(place).relative_to(folder).parts) < DEPTH else []
                for path in (Path(place) / name for name in sorted(files)):
                    if path.is_file() and any(path.resolve().is_relative_to(root) for root in allowed):
                        yield path


def _architectures(config: Path) -> list[str]:
    with suppress(OSError, ValueError, AttributeError, TypeError, RecursionError):
        if config.stat().st_size <= CONFIG_LIMIT:
            return [str(name) for name in json.loads(config.read_text(encoding="utf-8")).get("architectures") or ()]
    return []


def _info(name: Name, here: Sequence[Path]) -> PreprocessorInfo:
    row = PREPROCESSORS[name]
    return PreprocessorInfo(
        name=name,
        title=row.title,
        help=row.help,
        parameters=row.parameters,
        needs=row.weights.names if row.weights else (),
        repository=row.weights.repository if row.weights else "",
        is_here=row.weights is None or all(_found(row.weights, here)),
    )


def _found(weights: Weights, here: Sequence[Path]) -> Sequence[Path | None]:
    """Each of the files among those that are `here`, or in the Hub's cache; None where it is in neither."""
    if weights.architecture:
        local = _folder(weights, here) or (None,) * len(weights.files)
    else:
        local = [next((path for path in here if path.name == name), None) for name in weights.names]
    return [path or cached_file(weights.repository, file) for path, file in zip(local, weights.files, strict=True)]


def _folder(weights: Weights, here: Sequence[Path]) -> tuple[Path, ...] | None:
    """The files in a whole folder of that architecture; of several, in the one with the repository's name."""
    folders = sorted({path.parent for path in here}, key=lambda folder: (folder.name != weights.names[0], folder))
    for folder in folders:
        files = tuple(folder / file for file in weights.files)
        if set(here).issuperset(files) and weights.architecture in _architectures(folder / "config.json"):
            return files
    return None
