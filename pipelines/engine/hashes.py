"""SHA-256 of model files, made in the background and remembered, so that no picture ever waits for one.

The file of hashes is JSON: path -> [modification time in ns, size in bytes, hash]. What it says of a file that has
changed since counts for nothing, and a damaged one is made anew.
"""

import hashlib
import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipelines.engine.model import Model, files_of
from presets.whole_files import written_whole

CHUNK_BYTES = 4 * 2**20
"""Read between two looks at whether something better is to be done."""
PAUSE_SECONDS = 0.2
LOWEST_PRIORITY = 19

_log = logging.getLogger("easel.hashes")
_State = tuple[int, int]
"""Modification time in ns and size of a file."""


class Hashes:
    """Hashes the files of the models that `listed` gives, in a thread of its own and only while `is_idle`.

    Any thread may ask. Making one touches no disk and starts nothing.
    """

    def __init__(self, file: Path, listed: Callable[[], Sequence[Model]], is_idle: Callable[[], bool]):
        self._file = file
        self._listed = listed
        self._is_idle = is_idle
        self._known: dict[str, tuple[_State, str]] = {}
        self._paths: dict[str, Path] = {}
        self._hashing = ""
        self._wake = threading.Event()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="easel-hashes", daemon=True)

    @property
    def hashing(self) -> str:
        """The model whose files are read now, or an empty text."""
        return self._hashing

    def start(self) -> None:
        """Start the thread. Call once."""
        self._thread.start()

    def look_again(self) -> None:
        """Go through the list of models once more."""
        self._wake.set()

    def close(self) -> None:
        """End the thread soon."""
        self._closed.set()
        self._wake.set()

    def of(self, model: Model) -> str:
        """The hash of a single file; for a folder one that is equal for equal weights; empty while it is unknown."""
        if model.path is None:
            return ""
        hashes = [self._of_file(file) for file in _files(model)]
        if model.layout == "single-file":
            return hashes[0]
        joined = "\n".join(
            f"{file.relative_to(model.path)} {hash}" for file, hash in zip(_files(model), hashes, strict=True)
        )
        return hashlib.sha256(os.fsencode(joined)).hexdigest() if hashes and all(hashes) else ""

    def of_checkpoint(self, name: str) -> str:
        """The hash of the single file that the checkpoint `name` was in the list last gone through, if known."""
        path = self._paths.get(name)
        return self._of_file(path) if path else ""

    def _of_file(self, path: Path) -> str:
        known = self._known.get(str(path))
        return known[1] if known and known[0] == _state(path) else ""

    def _run(self) -> None:
        _lower_priority()
        self._known = _read(self._file)
        while not self._closed.is_set():
            self._wake.wait()
            self._wake.clear()
            if self._wait_until_idle():
                self._go_through(self._listed())

    def _go_through(self, models: Sequence[Model]) -> None:
        self._paths = {model.name: model.path for model in models if model.path and model.layout == "single-file"}
        for model in models:
            self._hashing = model.name
            for file in _files(model):
                if not self._of_file(file):
                    self._hash(file)
        self._hashing = ""

    def _hash(self, path: Path) -> None:
        before = _state(path)
        digest = self._digest(path)
        if digest and before and before == _state(path):  # else it is still being written
            self._known[str(path)] = (before, digest)
            self._save()

    def _digest(self, path: Path) -> str:
        """The file's hash; empty where it cannot be read or the thread is to end."""
        digest = hashlib.sha256()
        with suppress(OSError), path.open("rb", buffering=0) as file:
            while self._wait_until_idle():
                chunk = file.read(CHUNK_BYTES)
                if not chunk:
                    return digest.hexdigest()
                digest.update(chunk)
        return ""

    def _wait_until_idle(self) -> bool:
        """Whether to go on; false once the thread is to end."""
        while not self._closed.is_set():
            if self._is_idle():
                return True
            self._closed.wait(PAUSE_SECONDS)
        return False

    def _save(self) -> None:
        """Write what is known, with what another process wrote meanwhile; the file is whole at any moment."""
        self._known = {**_read(self._file), **self._known}
        rows = {path: [*state, digest] for path, (state, digest) in self._known.items()}
        try:
            with written_whole(self._file) as file:
                file.write(json.dumps(rows, indent=0).encode("utf-8"))
        except OSError as problem:
            _log.warning("The hashes of models could not be saved: %s", problem)


def _files(model: Model) -> list[Path]:
    """The files with weights; none where they vanished."""
    if model.path is None:
        return []
    if model.layout == "single-file":
        return [model.path]
    with suppress(OSError):
        return [file for file in files_of(model.path) if file.suffix == ".safetensors"]
    return []


def _state(path: Path) -> _State | None:
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size


def _read(file: Path) -> dict[str, tuple[_State, str]]:
    """What the file holds; rows that cannot be meant are left out."""
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(rows, dict):
        return {}
    return {path: ((row[0], row[1]), row[2]) for path, row in rows.items() if _is_row(row)}


def _is_row(row: Any) -> bool:
    return isinstance(row, list) and [type(part) for part in row] == [int, int, str] and len(row[2]) == 64


def _lower_priority() -> None:
    """Of this thread alone, which only Linux can."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST_PRIORITY)
