"""SHA-256 of model files, made in the background and remembered, so that no picture ever waits for one.

LoRAs have two: of the whole file, and of what follows its header, which stays the same whatever is noted in that. Sites
call the beginnings AutoV2 (10 digits) and AutoV3 (12 digits, which A1111 writes into pictures).

The file of hashes is JSON: path -> [modification time in ns, size in bytes, hash, and the second one if there is one].
What it says of a file that has changed since counts for nothing, and a damaged one is made anew.
"""

import hashlib
import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
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
    """Hashes the files of the models that `listed` gives and those of `loras` (safetensors, by name), in a thread of
    its own and only while `is_idle`.

    Any thread may ask. Making one touches no disk and starts nothing.
    """

    def __init__(
        self,
        file: Path,
        listed: Callable[[], Sequence[Model]],
        is_idle: Callable[[], bool],
        loras: Callable[[], Mapping[str, Path]] = dict,
    ):
        self._file = file
        self._listed = listed
        self._loras = loras
        self._is_idle = is_idle
        self._known: dict[str, tuple[_State, tuple[str, ...]]] = {}
        self._paths: dict[str, Path] = {}
        self._lora_paths: Mapping[str, Path] = {}
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

    def of_lora(self, name: str) -> tuple[str, ...]:
        """The hashes of the file that the LoRA `name` was in the list last gone through: of its weights, and of all of
        it; none while they are unknown."""
        path = self._lora_paths.get(name)
        known = self._of(path) if path else ()
        return (known[1], known[0]) if len(known) > 1 else ()

    def _of_file(self, path: Path) -> str:
        return next(iter(self._of(path)), "")

    def _of(self, path: Path) -> tuple[str, ...]:
        known = self._known.get(str(path))
        return known[1] if known and known[0] == _state(path) else ()

    def _run(self) -> None:
        _lower_priority()
        self._known = _read(self._file)
        while not self._closed.is_set():
            self._wake.wait()
            self._wake.clear()
            if self._wait_until_idle():
                self._go_through(self._listed(), self._loras())

    def _go_through(self, models: Sequence[Model], loras: Mapping[str, Path]) -> None:
        self._lora_paths = loras
        self._paths = {model.name: model.path for model in models if model.path and model.layout == "single-file"}
        for model in models:
            self._hashing = model.name
            for file in _files(model):
                if not self._of_file(file):
                    self._hash(file)
        for name, path in loras.items():
            self._hashing = name
            if len(self._of(path)) < 2:
                self._hash(path, has_header=True)
        self._hashing = ""

    def _hash(self, path: Path, *, has_header: bool = False) -> None:
        before = _state(path)
        digests = self._digests(path, has_header)
        if digests and before and before == _state(path):  # else it is still being written
            self._known[str(path)] = (before, digests)
            self._save()

    def _digests(self, path: Path, has_header: bool) -> tuple[str, ...]:
        """The file's hash, and with `has_header` that of what follows the header; none where it cannot be read or the
        thread is to end."""
        digests = [hashlib.sha256() for _ in range(2 if has_header else 1)]
        with suppress(OSError), path.open("rb", buffering=0) as file:
            if has_header:
                start = file.read(8)
                digests[0].update(start)
                left = int.from_bytes(start, "little")
                while left and self._wait_until_idle() and (chunk := file.read(min(left, CHUNK_BYTES))):
                    digests[0].update(chunk)
                    left -= len(chunk)
            while self._wait_until_idle():
                chunk = file.read(CHUNK_BYTES)
                if not chunk:
                    return tuple(digest.hexdigest() for digest in digests)
                for digest in digests:
                    digest.update(chunk)
        return ()

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
        rows = {path: [*state, *digests] for path, (state, digests) in self._known.items()}
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


def _read(file: Path) -> dict[str, tuple[_State, tuple[str, ...]]]:
    """What the file holds; rows that cannot be meant are left out."""
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(rows, dict):
        return {}
    return {path: ((row[0], row[1]), tuple(row[2:])) for path, row in rows.items() if _is_row(row)}


def _is_row(row: Any) -> bool:
    kinds = [type(part) for part in row] if isinstance(row, list) else []
    return kinds in ([int, int, str], [int, int, str, str]) and all(len(digest) == 64 for digest in row[2:])


def _lower_priority() -> None:
    """Of this thread alone, which only Linux can."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST_PRIORITY)
