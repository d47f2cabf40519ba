"""GGUF files: which model one holds and the shapes of its tensors. No weights are read.

Format: "GGUF", version (4 bytes), counts of tensors and of entries (8 bytes each), then the entries: a key, the type of
its value and the value; then for each tensor its name, the number of its sides (4 bytes), the sides (8 bytes each, the
last first), its type (4 bytes) and where it begins (8 bytes). Texts are 8 bytes of length and that many bytes, lists
the type of their values, their number (8 bytes) and the values; all is little endian
(https://github.com/ggml-org/ggml/blob/master/docs/gguf.md).
"""

import math
import struct
from pathlib import Path

from pipelines.engine.headers import TENSOR_LIMIT, BrokenFile, Header, IncompleteFile

READ_LIMIT = 8 * 2**20
"""Bytes. Headers of models that make pictures have less than a tenth."""
ARCHITECTURE = "general.architecture"

_TEXT, _LIST = 8, 9
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_MOST_SIDES = 4
_LARGEST = 2**63
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
    name = read_gguf_header(path).metadata.get(ARCHITECTURE, "")
    return _TITLES.get(name, f"a model of the architecture {name[:40]!r}" if name else "a model without a name")


def read_gguf_header(path: Path) -> Header:
    """The header of the regular file `path`, of its entries but the architecture. Raises `BrokenFile`, `OSError`."""
    with path.open("rb") as file:
        content = file.read(READ_LIMIT)
    if content[:4] != b"GGUF":
        raise BrokenFile("it is no GGUF file")
    try:
        tensors, entries = struct.unpack_from("<QQ", content, 8)
        if max(tensors, entries) > TENSOR_LIMIT:
            raise BrokenFile(f"it names {max(tensors, entries):,} tensors, which no checkpoint has")
        name, place = _architecture(content, entries)
        shapes, begins = _shapes(content, place, tensors)
    except (struct.error, KeyError, UnicodeDecodeError, RecursionError):
        raise BrokenFile("its header cannot be read") from None
    if begins >= path.stat().st_size and shapes:
        raise IncompleteFile(f"it is cut off, only {path.stat().st_size:,} bytes are there")
    return Header(shapes, {ARCHITECTURE: name} if name else {})


def _architecture(content: bytes, entries: int) -> tuple[str, int]:
    """The text under `ARCHITECTURE`, empty where there is none, and where the entries end."""
    name, place = "", 24
    for _ in range(entries):
        key, place = _text(content, place)
        (kind,) = struct.unpack_from("<I", content, place)
        if key == ARCHITECTURE and kind == _TEXT:
            name, _ = _text(content, place + 4)
        place = _behind(content, place + 4, kind)
    return name, place


def _behind(content: bytes, place: int, kind: int) -> int:
    """Where the value of type `kind` that begins at `place` ends. Raises `struct.error` where that was not read."""
    if kind == _LIST:
        inner, count = struct.unpack_from("<IQ", content, place)
        place += 12
        if inner in _SIZES:
            return _within(content, place + count * _SIZES[inner])
        for _ in range(min(count, len(content))):
            place = _behind(content, place, inner)
        return place
    return _text(content, place)[1] if kind == _TEXT else _within(content, place + _SIZES[kind])


def _shapes(content: bytes, place: int, tensors: int) -> tuple[dict[str, tuple[int, ...]], int]:
    """The tensors' shapes, and the least place of the file at which the last one begins."""
    shapes, begins = {}, 0
    for _ in range(tensors):
        name, place = _text(content, place)
        (sides,) = struct.unpack_from("<I", content, place)
        if sides > _MOST_SIDES:
            raise BrokenFile(f"its header describes the tensor {name[:60]!r} wrongly")
        shape = struct.unpack_from(f"<{sides}Q", content, place + 4)
        (start,) = struct.unpack_from("<Q", content, place + 8 + 8 * sides)
        if math.prod(shape) >= _LARGEST or start >= _LARGEST:
            raise BrokenFile(f"its header describes the tensor {name[:60]!r} wrongly")
        shapes[name], begins = shape[::-1], max(begins, start)
        place += 16 + 8 * sides
    return shapes, place + begins


def _within(content: bytes, place: int) -> int:
    if place > len(content):
        raise struct.error("the value goes on behind what was read")
    return place


def _text(content: bytes, place: int) -> tuple[str, int]:
    """The text at `place`, and where it ends. Raises `struct.error` for one that is longer than what was read."""
    (length,) = struct.unpack_from("<Q", content, place)
    end = _within(content, place + 8 + length)
    return content[place + 8 : end].decode(), end
