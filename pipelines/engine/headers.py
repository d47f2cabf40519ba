"""The header of a safetensors file: names and shapes of its tensors, read without touching the weights.

Format: eight bytes of length (little endian), that many bytes of JSON, then the tensors one after the other.
"""

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.engine import plain_json

HEADER_LIMIT = 6 * 2**20
"""Bytes. The headers of real checkpoints have less than one million."""
TENSOR_LIMIT = 25_000
"""The largest checkpoints and LoRAs have some thousands; more would take long to read."""

_MOST_SIDES = 16
_LARGEST = 2**63

_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "U16": 16, "I16": 16, "F16": 16, "BF16": 16, "U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64,
    "C64": 64, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip


class BrokenFile(Exception):
    """The file is not what its name says. The text says why, as the end of a sentence without its full stop."""


class IncompleteFile(BrokenFile):
    """The file's beginning is right, but its size is not: cut off, or still being written."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the bytes of a tensor lie: from `start` to before `stop`, counted from the file's beginning."""

    dtype: str
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Header:
    """`shapes` and `places` by tensor name, in the file's order; `metadata` is the free text of the file's author."""

    shapes: Mapping[str, tuple[int, ...]]
    metadata: Mapping[str, str]
    places: Mapping[str, Place] = field(default_factory=dict)

    def has(self, prefix: str) -> bool:
        """Whether any tensor's name begins with `prefix`."""
        return any(name.startswith(prefix) for name in self.shapes)

    def count(self, prefix: str = "") -> int:
        """Numbers held by all tensors whose name begins with `prefix`."""
        return sum(math.prod(shape) for name, shape in self.shapes.items() if name.startswith(prefix))


def read_header(path: Path) -> Header:
    """The header of the regular file `path`. Raises `BrokenFile`, or `OSError` where it cannot be read.

    Guaranteed on return: the tensors lie in the file one after the other without gap or overlap and fill it.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(64)
        (length,) = struct.unpack("<Q", start[:8].ljust(8, b"\0"))
        if length > HEADER_LIMIT or size < 9 or start[8:9] != b"{":
            raise BrokenFile(_what_else(start))
        if 8 + length > size:
            raise IncompleteFile(f"it is cut off, only {size:,} bytes are there")
        file.seek(8)
        text = file.read(length)
    header, end = _parse(text, 8 + length)
    if 8 + length + end > size:
        raise IncompleteFile(f"it is cut off, {size:,} of {8 + length + end:,} bytes are there")
    if 8 + length + end < size:
        raise BrokenFile(f"it is longer than its header says, {size:,} instead of {8 + length + end:,} bytes")
    return header


def _what_else(start: bytes) -> str:
    text = start.lstrip().lower()
    if not start:
        return "it is empty"
    if not start.strip(b"\0"):
        return "it is filled with zeros"
    if text.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer, not the file itself; fetch it with `git lfs pull`"
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "it is a web page; the download probably asked for a login"
    if start.startswith((b"PK\x03\x04", b"\x80\x02")):
        return "it is a pickled checkpoint under another name"
    return "it is no safetensors file"


def _parse(text: bytes, data_start: int) -> tuple[Header, int]:
    tensors = text.count(b'"data_offsets"')
    if tensors > TENSOR_LIMIT:
        raise BrokenFile(f"it names {tensors:,} tensors, which no checkpoint has")
    try:
        entries = plain_json.parse(text, _without_duplicates)
    except ValueError as error:
        raise BrokenFile("its header is no valid JSON") from error
    metadata = entries.pop("__metadata__", {})
    spans = [_span(name, entry) for name, entry in entries.items()]
    end = 0
    for start, stop, name in sorted(spans):
        if start != end:
            raise BrokenFile(f"its tensors overlap or leave gaps (at {name[:60]!r})")
        end = stop
    shapes = {name: tuple(entry["shape"]) for name, entry in entries.items()}
    places = {name: Place(entries[name]["dtype"], data_start + start, data_start + stop) for start, stop, name in spans}
    return Header(shapes, metadata if isinstance(metadata, dict) else {}, places), end


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise BrokenFile("its header names a tensor twice")
    return result


def _span(name: str, entry: Any) -> tuple[int, int, str]:
    try:
        start, stop = entry["data_offsets"]
        shape, bits = entry["shape"], _BITS[entry["dtype"]]
        fits = isinstance(shape, list) and len(shape) <= _MOST_SIDES
        fits = fits and all(type(side) is int and 0 <= side < _LARGEST for side in (start, stop, *shape))
        fits = fits and start <= stop and (stop - start) * 8 == math.prod(shape) * bits
    except (KeyError, TypeError, ValueError):
        fits = False
    if not fits:
        raise BrokenFile(f"its header describes the tensor {name[:60]!r} wrongly")
    return start, stop, name
