"""Models of the Hugging Face Hub: looked up in the local cache first, downloaded only where they are not there."""

import errno
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import constants, hf_hub_download, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,  # of the HTTP library that this version uses
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from tqdm import tqdm

from pipelines.engine.errors import HubUnreachable, ModelFamily, ModelNotFound
from pipelines.engine.jobs import Event, Loading
from pipelines.engine.model import WEIGHT_STEMS, Model, inspect_folder
from presets.errors import UserError

_TEXTS = [
    "model_index.json",
    "*/config.json",
    "scheduler/*.json",
    "tokenizer*/*.json",
    "tokenizer*/*.txt",
    "tokenizer*/*.model",
]
_WEIGHTS = [f"{part}/{stem}{rest}" for part, stem in WEIGHT_STEMS.items() for rest in ("*.safetensors", "*.index.json")]
_TIMEOUT = 5.0
HUB_PROBLEMS = (HFValidationError, HTTPError, OSError)
"""What the Hub's library raises where something cannot be had; `reason_of` tells why."""


def download(name: str, *, offline: bool, half: bool, report: Callable[[Event], None]) -> Model:
    """The Hub's model "owner/name", from the cache or over the network; only safetensors and texts are fetched.

    `half` prefers weights in float16 where the repository has both. Raises `ModelNotFound` for what cannot be the
    name of one, `HubUnreachable`, and what `inspect_folder` raises.
    """
    found = cached(name)
    if found is not None:
        return found
    if offline:
        raise HubUnreachable(name, "Easel was told to stay offline")
    report(Loading(doing="Asking the Hub for", what=name))
    try:
        return inspect_folder(_fetch(name, half, report), name, "hub")
    except HFValidationError as problem:
        raise ModelNotFound(name) from problem
    except HUB_PROBLEMS as problem:
        raise HubUnreachable(name, reason_of(problem)) from problem


def cached(name: str) -> Model | None:
    """The model if the Hub's local cache holds all that is needed. Asks no network."""
    try:
        index = try_to_load_from_cache(name, "model_index.json")
        return inspect_folder(Path(index).parent, name, "hub") if isinstance(index, str) else None
    except (HFValidationError, UserError, OSError):
        return None


def reason_of(problem: BaseException | None) -> str:
    """Why the Hub's model did not come, as the end of a sentence. The library wraps causes into each other."""
    while problem is not None:
        status = problem.response.status_code if isinstance(problem, HfHubHTTPError) else 0
        number = problem.errno if isinstance(problem, OSError) else None
        if isinstance(problem, OfflineModeIsEnabled):
            return "the environment says HF_HUB_OFFLINE"
        if number in (errno.ENOSPC, errno.EDQUOT):
            return f"the disk has no space left for it (in {constants.HF_HUB_CACHE})"
        if number in (errno.EACCES, errno.EPERM, errno.EROFS):
            return f"its folder {constants.HF_HUB_CACHE} cannot be written"
        if isinstance(problem, GatedRepoError) or status == 403:
            return "its owner lets in only some; accept its terms on the Hub, then set HF_TOKEN"
        if isinstance(problem, RepositoryNotFoundError) or status == 401:
            return "the Hub has none of that name, or it is private and needs HF_TOKEN"
        if status:
            return _STATUSES.get(status, f"the Hub answered with an error ({status}); try again later")
        problem = problem.__cause__
    return "there is no connection to it"


_STATUSES = {
    404: "the Hub has no such repository or file",
    429: "the Hub is asked too often from here; try again later",
}


def _fetch(name: str, half: bool, report: Callable[[Event], None]) -> Path:
    """Download file by file in this thread, so that `report` can end it. The snapshot's folder.

    Raises `ModelFamily` for a repository of another layout.
    """
    plan = snapshot_download(name, allow_patterns=_TEXTS + _WEIGHTS, etag_timeout=_TIMEOUT, dry_run=True)
    wanted = needed([info.filename for info in plan], half)
    if "model_index.json" not in wanted:
        raise ModelFamily(name, "no diffusers folder on the Hub", "download its .safetensors file instead")
    files = [info for info in plan if info.filename in wanted]
    last = _fetch_files(name, files, report)[-1]
    return last.parents[files[-1].filename.count("/")]


def cached_file(repository: str, file: str) -> Path | None:
    """A file of the Hub's repository if it is in the local cache. Asks no network."""
    found = try_to_load_from_cache(repository, file)
    return Path(found) if isinstance(found, str) else None


def download_files(repository: str, files: Sequence[str], report: Callable[[Event], None]) -> tuple[Path, ...]:
    """Files of a repository, over the network where they are not in the cache. Raises `HUB_PROBLEMS`, and what `report`
    raises."""
    report(Loading(doing="Asking the Hub for", what=repository))
    plan = snapshot_download(repository, allow_patterns=list(files), etag_timeout=_TIMEOUT, dry_run=True)
    known = {info.filename: info for info in plan}
    for file in files:
        if file not in known:  # asked for by name it raises what says so
            hf_hub_download(repository, file, etag_timeout=_TIMEOUT)
    return _fetch_files(repository, [known[file] for file in files], report)


def _fetch_files(name: str, files: Sequence[Any], report: Callable[[Event], None]) -> tuple[Path, ...]:
    """Where these files of a plan lie once they are here."""
    total = sum(info.file_size or 0 for info in files) or 1
    done = 0

    def advance(count: float) -> None:
        nonlocal done
        done += int(count)
        report(Loading(doing="Downloading", what=name, fraction=min(1.0, done / total)))

    paths = []
    for info in files:
        before = done
        path = hf_hub_download(
            name,
            info.filename,
            revision=info.commit_hash,
            etag_timeout=_TIMEOUT,
            tqdm_class=_progress(advance),
        )
        advance(before + (info.file_size or 0) - done)
        paths.append(Path(path))
    return tuple(paths)


def needed(names: Sequence[str], half: bool) -> set[str]:
    """Those of a repository's files that are loaded: one set of weights for each part.

    Whole before parts before those in float16, or with `half` these first.
    """
    wanted = {name for name in names if name.endswith((".json", ".txt", ".model")) and ".index." not in name}
    for part, stem in WEIGHT_STEMS.items():
        start = f"{part}/{stem}"
        whole, small = f"{start}.safetensors", f"{start}.fp16.safetensors"
        parts = {name for name in names if name.startswith(f"{start}-") and ".fp16" not in name}
        sets = [{whole} & set(names), {*parts, f"{whole}.index.json"} if parts else set(), {small} & set(names)]
        wanted |= next(filter(None, reversed(sets) if half else sets), set())
    return wanted


def _progress(advance: Callable[[float], None]) -> type[tqdm]:
    """A silent progress bar that tells `advance` how many bytes more have come."""

    class Progress(tqdm):
        def __init__(self, *arguments: Any, **options: Any):
            options.pop("name", None)
            super().__init__(*arguments, **{**options, "disable": True})
            advance(options.get("initial") or 0)

        def update(self, n: float | None = 1) -> bool | None:
            advance(n or 0)
            return None

    return Progress
