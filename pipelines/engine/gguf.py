"""GGUF files: which model one holds, told by its first entries. No weights are read.

Format: "GGUF", version (4 bytes), counts of tensors and of entries (8 bytes each), then the entries: a key, the type of
its value and the value. Texts are 8 bytes of length and that many bytes; all is little endian
(https://github.com/ggml-org/ggml/blob/master/docs/gguf.md).
"""

import struct
from pathlib import Path

from pipelines.engine.headers import BrokenFile

READ_LIMIT = 2**16
"""Bytes. The architecture is among the first entries."""

_TEXT = 8
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_TITLES = {
    "flux": "a Flux.1 transformer",
    "sd3": "a Stable Diffusion 3.x transformer",
    "sd1": "a Stable Diffusion 1.x UNet",
    "sdxl": "a Stable Diffusion XL UNet",
    "t5": "a T5 text encoder",
    "t5encoder": "a T5 text encoder",
}


def what_is_in(path: Path) -> str:
    """What the regular file `path` holds, such as "a Flux.1 transformer". Raises `BrokenFile`, `OSError`."""
    with path.open("rb") as file:
        content = file.read(READ_LIMIT)
    if content[:4] != b"GGUF":
        raise BrokenFile("it is no GGUF file")
    name = _architecture(content)
    return _TITLES.get(name, f"a model of the architecture {name[:40]!r}" if name else "a model without a name")


def _architecture(content: bytes) -> str:
    """The text under `general.architecture`, empty where it is not among the entries that can be skipped over."""
    try:
        (entries,) = struct.unpack_from("<Q", content, 16)
        place = 24
        for _ in range(min(entries, 100)):
            key, place = _text(content, place)
            (kind,) = struct.unpack_from("<I", content, place)
            if kind != _TEXT:
                place += 4 + _SIZES[kind]
                continue
            value, place = _text(content, place + 4)
            if key == "general.architecture":
                return value
    except (struct.error, KeyError, UnicodeDecodeError):
        pass
    return ""


def _text(content: bytes, place: int) -> tuple[str, int]:
    """The text at `place`, and where it ends. Raises `struct.error` for one that is longer than what was read."""
    (length,) = struct.unpack_from("<Q", content, place)
    end = place + 8 + length
    if end > len(content):
        raise struct.error("the text goes on behind what was read")
    return content[place + 8 : end].decode(), end
