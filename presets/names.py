"""Names as people and other programs write them, against the names in a list."""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import PurePosixPath

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
"""A model of the Hugging Face Hub: owner/name."""
NAME_COMPARED = 300
_ENDINGS = (".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".gguf")


def match_name(name: str, names: Sequence[str]) -> str | None:
    """The listed name that `name` means: exactly, in another case, or as the last part of just one."""
    if name in names:
        return name
    wanted = name.lower().removesuffix(".safetensors")
    for key in (str.lower, last_part):
        matches = [entry for entry in names if key(entry) == wanted]
        if len(matches) == 1:
            return matches[0]
    return None


def near_names(name: str, names: Sequence[str]) -> list[str]:
    """Up to three of `names` that look like `name`, the nearest first; their last parts count too."""
    by_key = {last_part(entry): entry for entry in reversed(names)}
    by_key |= {entry.lower(): entry for entry in names}
    keys = get_close_matches(name[:NAME_COMPARED].lower(), list(by_key), n=6, cutoff=0.4)
    return list(dict.fromkeys(by_key[key] for key in keys))[:3]


def last_part(name: str) -> str:
    """What follows the last slash, in lower case."""
    return name.lower().rsplit("/", 1)[-1]


def without_ending(file_name: str) -> str:
    """The name that a file of weights is listed under: "styles\\ink.safetensors" is "styles/ink"."""
    path = file_name.replace("\\", "/")
    return path[: -len(PurePosixPath(path).suffix)] if path.lower().endswith(_ENDINGS) else path


def writable(text: str) -> str:
    """`text` with lone surrogates replaced: they can stand in no file, database or page."""
    return text.encode("utf-8", "replace").decode("utf-8")
