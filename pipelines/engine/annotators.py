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
        return tuple(self._info(name) for name in PREPROCESSORS)

    def check(self, name: Name) -> None:
        """Raise `PreprocessorMissing` if the preprocessor cannot work, as far as can be told without the network."""
        weights = PREPROCESSORS[name].weights
        if weights and self._offline and self.find(weights) is None:
            raise self._missing(name, weights, "Easel was told to stay offline")

    def find(self, weights: Weights) -> tuple[Path, ...] | None:
        """The files on this machine, in their order; None if any is missing."""
        if weights.architecture:
            folder = next(self._folders_of(weights), None)
            local = [folder / file if folder else None for file in weights.files]
        else:
            local = [self._file(name) for name in weights.names]
        found = [here or cached_file(weights.repository, file) for here, file in zip(local, weights.files, strict=True)]
        return tuple(path for path in found if path) if all(found) else None

    def fetch(self, name: Name, report: Callable[[Event], None]) -> tuple[Path, ...]:
        """The files of the preprocessor, which has some, downloaded if they are not here. Raises `PreprocessorMissing`
        and what `report` raises."""
        weights = PREPROCESSORS[name].weights
        assert weights
        self.check(name)
        try:
            return self.find(weights) or download_files(weights.repository, weights.files, report)
        except HUB_PROBLEMS as problem:
            raise self._missing(name, weights, reason_of(problem)) from problem

    def _info(self, name: Name) -> PreprocessorInfo:
        row = PREPROCESSORS[name]
        return PreprocessorInfo(
            name=name,
            title=row.title,
            help=row.help,
            parameters=row.parameters,
            needs=row.weights.names if row.weights else (),
            repository=row.weights.repository if row.weights else "",
            is_here=row.weights is None or self.find(row.weights) is not None,
        )

    def _missing(self, name: Name, weights: Weights, reason: str) -> PreprocessorMissing:
        here = [] if weights.architecture else [file for file in weights.names if self._file(file)]
        missing = [file for file in weights.names if file not in here]
        folder = self._roots[0] / FOLDER
        return PreprocessorMissing(PREPROCESSORS[name].title, missing, folder, weights.repository, reason)

    def _file(self, name: str) -> Path | None:
        return next((path for path in self._walk() if path.name == name), None)

    def _folders_of(self, weights: Weights) -> Iterator[Path]:
        """Folders of models of that architecture, the one with the repository's name first."""
        folders = [path.parent for path in self._walk() if path.name == "config.json"]
        fitting = [folder for folder in folders if weights.architecture in _architectures(folder / "config.json")]
        yield from sorted(fitting, key=lambda folder: folder.name != weights.names[0])

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
    with suppress(OSError, ValueError, AttributeError):
        if config.stat().st_size <= CONFIG_LIMIT:
            return [str(name) for name in json.loads(config.read_text(encoding="utf-8")).get("architectures") or ()]
    return []
