"""Models of the Hugging Face Hub: looked up in the local cache first, downloaded only where they are not there."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
from huggingface_hub import hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from tqdm import tqdm

from pipelines.engine.errors import ModelNotFound
from pipelines.engine.jobs import Event, Loading
from pipelines.engine.model import WEIGHT_STEMS, Model, inspect_folder
from presets.errors import UserError

_TEXTS = ["model_index.json", "*/config.json", "scheduler/*.json", "tokenizer*/*.json", "tokenizer*/*.txt"]
_WEIGHTS = [f"{part}/{stem}{rest}" for part, stem in WEIGHT_STEMS.items() for rest in ("*.safetensors", "*.index.json")]
_TIMEOUT = 5.0


class HubUnreachable(UserError):
    """The Hub could not be asked."""

    code = "E-MODEL-MISSING"

    def __init__(self, name: str, reason: str):
        super().__init__(
            f"{name!r} is not in the list, and as a model of the Hugging Face Hub it cannot be had: {reason}.",
            field="checkpoint",
        )


def download(name: str, *, offline: bool, report: Callable[[Event], None]) -> Model:
    """The Hub's model "owner/name", from the cache or over the network; only safetensors and texts are fetched.

    Raises `ModelNotFound` where the Hub has none of that name, `HubUnreachable`, and what `inspect_folder` raises.
    """
    cached = _cached(name)
    if cached is not None:
        return cached
    if offline:
        raise HubUnreachable(name, "Easel was told to stay offline")
    report(Loading(what=f"Asking the Hub for {name}"))
    try:
        return inspect_folder(_fetch(name, report), name, "hub")
    except RepositoryNotFoundError as problem:
        gated = isinstance(problem, GatedRepoError)
        raise (HubUnreachable(name, "its owner asks for a login") if gated else ModelNotFound(name)) from problem
    except HFValidationError as problem:
        raise ModelNotFound(name) from problem
    except OfflineModeIsEnabled as problem:
        raise HubUnreachable(name, "the environment says HF_HUB_OFFLINE") from problem
    except (LocalEntryNotFoundError, HfHubHTTPError, httpx.HTTPError, OSError) as problem:
        raise HubUnreachable(name, "there is no connection to it") from problem


def _cached(name: str) -> Model | None:
    """The model if the Hub's local cache holds all that is needed."""
    try:
        folder = Path(snapshot_download(name, local_files_only=True))
        return inspect_folder(folder, name, "hub")
    except (LocalEntryNotFoundError, HFValidationError, UserError, OSError):
        return None


def _fetch(name: str, report: Callable[[Event], None]) -> Path:
    """Download file by file in this thread, so that `report` can end it. The snapshot's folder."""
    plan = snapshot_download(name, allow_patterns=_TEXTS + _WEIGHTS, etag_timeout=_TIMEOUT, dry_run=True)
    wanted = needed([info.filename for info in plan])
    files = [info for info in plan if info.filename in wanted]
    total = sum(info.file_size or 0 for info in files) or 1
    done = 0

    def advance(count: float) -> None:
        nonlocal done
        done += int(count)
        report(Loading(what=f"Downloading {name}", fraction=min(1.0, done / total)))

    folder = Path()
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
        folder = Path(path).parents[info.filename.count("/")]
    return folder


def needed(names: Sequence[str]) -> set[str]:
    """Those of a repository's files that are loaded: one set of weights for each part, whole before parts before
    those in float16."""
    wanted = {name for name in names if name.endswith((".json", ".txt")) and ".index." not in name}
    for part, stem in WEIGHT_STEMS.items():
        start = f"{part}/{stem}"
        whole, half = f"{start}.safetensors", f"{start}.fp16.safetensors"
        parts = {name for name in names if name.startswith(f"{start}-") and ".fp16" not in name}
        if whole in names:
            wanted.add(whole)
        elif parts:
            wanted |= {*parts, f"{whole}.index.json"}
        elif half in names:
            wanted.add(half)
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
