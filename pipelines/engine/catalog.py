"""Files on disk -> models, from headers and configs alone. No weights are read, nothing is unpickled.

Checkpoints are the starter, then what lies in `checkpoints/` under each root: single safetensors files and diffusers
folders, nested as the person likes. A name from outside is only ever looked up in that list, never joined to a path.
"""

import math
import os
import stat
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.engine.errors import (
    ModelCorrupt,
    ModelNotFound,
    ModelPath,
    VaeNotFound,
    VaeRefused,
)
from pipelines.engine.families import FAMILIES
from pipelines.engine.findings import Findings
from pipelines.engine.model import (
    GGUF,
    PICKLED,
    STILL_COPYING_SECONDS,
    Model,
    files_of,
    identity_of,
    inspect_file,
    inspect_folder,
)
from pipelines.engine.vae_files import VaeFile, inspect_vae
from presets.errors import UserError
from presets.names import HUB_ID, match_name, near_names
from presets.settings import Settings

STARTER = Path(__file__).parent / "starter"
STARTER_NAME = "storybook"
EXTRAS = Path(__file__).parent / "extras"
"""A root of models that ships with the program: another checkpoint and LoRAs for the starter."""
DEEPEST = 8
"""Levels of folders below `checkpoints/` that are looked into."""
KEPT_SECONDS = 1.0
"""How long `find` trusts the last walk: a name is looked up at each keystroke in the prompt."""

_HUB_MARKS = {"xl": "sdxl", "flux": "flux", "stable-diffusion-3": "sd3"}


@dataclass(frozen=True, slots=True)
class Problem:
    """A file or folder that lies among the checkpoints but cannot be used, and why."""

    path: Path
    sentence: str


@dataclass(frozen=True, slots=True)
class _Found:
    """What the walk came upon; `is_safe` is false for what must not be opened, `reason` then says why."""

    path: Path
    name: str
    reason: str = ""


_Entries = dict[str, tuple[Path, Model | UserError]]
"""Name -> path and model or error. The starter is first."""


def catalog_of(settings: Settings) -> "Catalog":
    """The catalog of the model folders that the settings name, and of what ships with the program."""
    return Catalog((*settings.model_roots, EXTRAS))


class Catalog:
    """The checkpoints there are now. Any thread may call it, and often: what has not changed is not read again."""

    def __init__(self, roots: Sequence[Path], starter: Path = STARTER):
        self._roots = tuple(roots)
        self._starter = starter
        self._known: dict[Path, tuple[str, Model | UserError]] = {}
        self._vaes = Findings(inspect_vae, VaeRefused)
        self._from_hub: dict[str, Model] = {}
        self._entries: _Entries = {}
        self._scanned = -math.inf
        self._lock = threading.Lock()

    def list(self) -> tuple[Model, ...]:
        """Usable checkpoints, the default first, then by name."""
        return tuple(model for _, model in self._scan().values() if isinstance(model, Model))

    def problems(self) -> tuple[Problem, ...]:
        """What lies among the checkpoints and cannot be used."""
        return tuple(
            Problem(path, error.message) for path, error in self._scan().values() if isinstance(error, UserError)
        )

    def find(self, name: str) -> Model:
        """The checkpoint that `name` means: "" is the default; else a listed name, in any case, or its last part.

        "owner/name" that is not listed is a model of the Hugging Face Hub, which is not asked: before its download
        the name alone tells the family and with it the native size (`_HUB_MARKS`, else SD 1.x).
        Raises `ModelNotFound`, or the error of a file that cannot be used.
        """
        if time.monotonic() - self._scanned < KEPT_SECONDS:
            with suppress(UserError):
                model = self._looked_up(name, self._entries)
                if _is_unchanged(model):
                    return model
        return self._looked_up(name, self._scan())

    def vaes(self) -> tuple[VaeFile, ...]:
        """The usable files in `vae/` under the roots, by name."""
        return tuple(file for file in self._vae_entries().values() if isinstance(file, VaeFile))

    def find_vae(self, name: str) -> VaeFile:
        """The VAE of that name (in any case, or its last part). Raises `VaeNotFound`, or why it cannot be used."""
        entries = self._vae_entries()
        match = match_name(name, tuple(entries))
        if match is None:
            raise VaeNotFound(name, near_names(name, tuple(entries)))
        found = entries[match]
        if isinstance(found, UserError):
            raise found.with_traceback(None)
        return found

    def _vae_entries(self) -> dict[str, VaeFile | UserError]:
        entries: dict[str, VaeFile | UserError] = {}
        for found in sorted(self._walk_roots("vae"), key=lambda found: found.name.lower()):
            if not found.path.is_dir():
                name = _unique(found.name, {name.lower() for name in entries})
                entries[name] = self._vaes.of(name, found.path, found.reason)
        return entries

    def mark(self, file: Model | VaeFile, error: UserError) -> None:
        """Have `error` be the answer for `file` until it changes: what is wrong with it was found only by using it."""
        if isinstance(file, VaeFile):
            self._vaes.mark(file.name, file.path, file.identity, error)
        elif file.path is not None:
            with self._lock:
                self._known[file.path] = (f"{file.name}|{file.identity}", error)
                self._entries[file.name] = (file.path, error)

    def files(self, folder: str) -> dict[str, tuple[Path, str]]:
        """The files of weights in `folder` ("loras" ...) under the roots, by unique names in order; beside the path
        why it must not be opened, or an empty text. Walks anew each time."""
        files: dict[str, tuple[Path, str]] = {}
        taken: set[str] = set()
        found = (found for found in self._walk_roots(folder) if _is_candidate(found.path))
        for file in sorted(found, key=lambda found: (found.name.lower(), str(found.path))):
            name = _unique(file.name, taken)
            taken.add(name.lower())
            files[name] = (file.path, file.reason)
        return files

    def _looked_up(self, name: str, entries: _Entries) -> Model:
        match = STARTER_NAME if name == "" else match_name(name, tuple(entries))
        if match is None:
            return self._not_listed(name, tuple(entries))
        _, found = entries[match]
        if isinstance(found, UserError):
            raise found.with_traceback(None)
        return found

    def _not_listed(self, name: str, names: Sequence[str]) -> Model:
        if ".." in Path(name).parts or Path(name).is_absolute() or "\\" in name:
            raise ModelPath(name, "a checkpoint is chosen by its name in the list, not by a path")
        folders = {entry.split("/")[0].lower() for entry in names if "/" in entry}
        if HUB_ID.fullmatch(name) and name.split("/")[0].lower() not in folders:
            return self._of_hub(name)
        raise ModelNotFound(name, near_names(name, names))

    def _of_hub(self, name: str) -> Model:
        """As its files in the Hub's local cache say; guessed from its name where it is not downloaded yet."""
        from pipelines.engine.hub import cached  # its library takes long to import

        known = self._from_hub.get(name)
        model = known if known and _is_unchanged(known) else cached(name)
        if model is None:
            return _guessed(name)
        self._from_hub[name] = model
        return model

    def _scan(self) -> _Entries:
        with self._lock:
            self._entries = self._walked()
            self._scanned = time.monotonic()
            return self._entries

    def _walked(self) -> _Entries:
        entries: _Entries = {STARTER_NAME: (self._starter, self._inspect(_Found(self._starter, STARTER_NAME)))}
        taken = {STARTER_NAME}
        listed = sorted(self._walk_roots("checkpoints"), key=lambda found: (found.name.lower(), str(found.path)))
        for found in _without_hard_links_out(listed, self._roots):
            name = _unique(found.name, taken)
            taken.add(name.lower())
            entries[name] = (found.path, self._inspect(replace(found, name=name)))
        paths = {path for path, _ in entries.values()}
        self._known = {path: known for path, known in self._known.items() if path in paths}
        return entries

    def _inspect(self, found: _Found) -> Model | UserError:
        if found.reason:
            return ModelPath(found.name, found.reason)
        try:
            identity = f"{found.name}|{_identity(found.path)}"
            known = self._known.get(found.path)
            if known and known[0] == identity:
                return known[1]
            result = _inspected(found)
            if isinstance(result, Model) or not _is_fresh(found.path):
                self._known[found.path] = (identity, result)
            return result
        except OSError as problem:
            return ModelCorrupt(found.name, f"it cannot be read ({problem.strerror})")

    def _walk_roots(self, kind: str) -> Iterator[_Found]:
        allowed = [_resolved(root) for root in self._roots]
        for root in self._roots:
            folder = root / kind
            if _is_inside(_resolved(folder), allowed):
                yield from _walk(folder, "", allowed, frozenset())
            else:
                yield _Found(folder, folder.name, _LEADS_OUT)


_LEADS_OUT = "it is a link that leads out of the model folders; add the folder it leads to with --models-dir"


_LINKED_OUT = (
    "the same file has another name outside of the model folders (a hard link); copy it, or add the folder of that "
    "name with --models-dir"
)


def _without_hard_links_out(listed: Sequence[_Found], roots: Sequence[Path]) -> Iterator[_Found]:
    """`listed`, the single files with names outside of `roots` not to be opened."""
    links = {found: _links(found.path) for found in listed if not found.reason}
    if not any(many > 1 for _, many in links.values()):
        yield from listed
        return
    inside = Counter(
        _links(Path(folder, name))[0] for root in roots for folder, _, names in os.walk(root) for name in names
    )
    for found in listed:
        file, many = links.get(found, (None, 0))
        yield replace(found, reason=_LINKED_OUT) if many > max(1, inside[file]) else found


def _links(path: Path) -> tuple[tuple[int, int] | None, int]:
    """What tells a regular file from any other, and how many names it has; nothing for what is none."""
    try:
        state = path.lstat()
    except OSError:
        return None, 0
    return ((state.st_dev, state.st_ino), state.st_nlink) if stat.S_ISREG(state.st_mode) else (None, 0)


def _walk(folder: Path, prefix: str, allowed: Sequence[Path], above: frozenset[Path]) -> Iterator[_Found]:
    """Candidates under `folder`; `above` are the resolved folders on the way here, so that links cannot go round."""
    resolved = _resolved(folder)
    if resolved in above or len(above) > DEEPEST:
        return
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if not entry.name.startswith(".") and _is_text(entry.name):
            with suppress(OSError):  # it vanished, or nobody may look into it
                yield from _candidates(entry, prefix, allowed, above | {resolved})


def _candidates(
    entry: os.DirEntry[str], prefix: str, allowed: Sequence[Path], above: frozenset[Path]
) -> Iterator[_Found]:
    """What the file or folder `entry` holds. Raises `OSError` where it cannot be looked at."""
    path = Path(entry.path)
    is_folder = path.is_dir()
    if entry.is_symlink() and not _is_inside(_resolved(path), allowed):
        if is_folder or _is_candidate(path):
            yield _Found(path, prefix + _name(path, is_folder), _LEADS_OUT)
    elif is_folder and (path / "model_index.json").exists():
        yield _Found(path, prefix + entry.name, _link_out_of(path, allowed))
    elif is_folder:
        yield from _walk(path, f"{prefix}{entry.name}/", allowed, above)
    elif _is_candidate(path):
        yield _Found(path, prefix + path.stem, "" if path.is_file() else "it is no regular file")


def _link_out_of(folder: Path, allowed: Sequence[Path]) -> str:
    """Why a diffusers folder must not be opened, or an empty text."""
    try:
        paths = (folder, *folder.iterdir(), *folder.glob("*/*"))
    except OSError as problem:
        return f"it cannot be read ({problem.strerror})"
    leads_out = any(path.is_symlink() and not _is_inside(_resolved(path), allowed) for path in paths)
    return _LEADS_OUT if leads_out else ""


def _resolved(path: Path) -> Path:
    """`path` without links. Links that go round in a circle stay as they are (`Path.resolve` may raise on them)."""
    return Path(os.path.realpath(path))


def _identity(path: Path) -> str:
    """Changes when the checkpoint's files do. Raises `OSError` for what is not there."""
    return identity_of(files_of(path))


def _is_unchanged(model: Model) -> bool:
    """Whether the files of `model` are still those that it was read from."""
    try:
        return model.path is None or _identity(model.path) == model.identity
    except OSError:
        return False


def _inspected(found: _Found) -> Model | UserError:
    """The model or why it is none. Raises `OSError` for what vanished."""
    try:
        if found.path.is_dir():
            return inspect_folder(found.path, found.name)
        return inspect_file(found.path, found.name)
    except UserError as error:
        return error.with_traceback(None)


def _is_fresh(path: Path) -> bool:
    return time.time() - path.stat().st_mtime < STILL_COPYING_SECONDS


def _is_candidate(path: Path) -> bool:
    return path.suffix.lower() in (".safetensors", GGUF, *PICKLED)


def _is_inside(path: Path, allowed: Sequence[Path]) -> bool:
    return any(path.is_relative_to(root) for root in allowed)


def _is_text(name: str) -> bool:
    """Whether the file system's bytes are valid text (a name must travel in JSON)."""
    return name.isprintable() and not any("\ud800" <= character <= "\udfff" for character in name)


def _name(path: Path, is_folder: bool) -> str:
    return path.name if is_folder else path.stem


def _unique(name: str, taken: Set[str]) -> str:
    """`name`, or "name (2)" ... where another file has it; `taken` is in lower case, as case alone tells none apart."""
    number, result = 2, name
    while result.lower() in taken:
        result, number = f"{name} ({number})", number + 1
    return result


def _guessed(name: str) -> Model:
    """A model that may or may not exist on the Hub."""
    lower = name.lower()
    family = FAMILIES[next((family for mark, family in _HUB_MARKS.items() if mark in lower), "sd1")]
    return Model(name, family.name, None, "hub", family.native_size, 0, "epsilon", 0, f"hub:{name}")
