"""The texts beside the pixels of a PNG, JPEG or WebP file, found without decoding the picture.

Reading is total and bounded: whatever the file holds, it ends after `CHUNKS_LIMIT` parts, keeps at most `TEXTS_LIMIT`
texts of at most `TEXT_LIMIT` bytes each, and unpacks no more than that. What is left out is told.
"""

import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from presets import exif
from presets.errors import shortened

TEXT_LIMIT = 2**20
EXIF_LIMIT = 4 * 2**20
TEXTS_LIMIT = 64
PROBLEMS_LIMIT = 20
CHUNKS_LIMIT = 100_000
JPEG_MARK = b"easel:"
"""Begins each of our JPEG comments; a comment holds 64 KiB, so the text may go on in the next."""
JPEG_PART = 65_000

_PNG = b"\x89PNG\r\n\x1a\n"
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""JPEG markers of a frame's header, which holds the picture's size."""


@dataclass(frozen=True, slots=True)
class Texts:
    """What a file says beside its pixels.

    `format` is "PNG", "JPEG", "WebP", or empty for any other file; `size` (width, height) in pixels as its header
    claims, (0, 0) where it has none. `texts` are by PNG keyword, name of an EXIF tag, or "comment" and "easel" of
    JPEG. `problems` are sentences about those left out, by the same names.
    """

    format: str = ""
    size: tuple[int, int] = (0, 0)
    texts: Mapping[str, str] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)


class _Reader:
    """Collects what a walk over a file's parts finds."""

    def __init__(self, file: BinaryIO):
        self.file = file
        self.size: tuple[int, int] = (0, 0)
        self.texts: dict[str, str] = {}
        self.problems: dict[str, str] = {}

    def add(self, name: str, text: str) -> None:
        if len(self.texts) < TEXTS_LIMIT:
            self.texts[name] = text

    def leave_out(self, name: str, reason: str) -> None:
        if len(self.problems) < PROBLEMS_LIMIT:
            self.problems[name] = f"The text {shortened(name)} {reason} and was left out."

    def content(self, name: str, length: int, limit: int) -> bytes | None:
        """The next `length` bytes, or None where they are too many, which is told."""
        if length > limit:
            keyword = self.file.read(80).partition(b"\0")[0] if limit == TEXT_LIMIT else b""
            self.leave_out(_latin(keyword) or name, f"has {length:,} bytes")
            return None
        return self.file.read(length)

    def unpacked(self, name: str, data: bytes) -> bytes | None:
        try:
            text = zlib.decompressobj().decompress(data, TEXT_LIMIT + 1)
        except zlib.error:
            self.leave_out(name, "is damaged")
            return None
        if len(text) > TEXT_LIMIT:
            self.leave_out(name, f"unpacks to over {TEXT_LIMIT:,} bytes")
            return None
        return text


def read_texts(source: Path | BinaryIO) -> Texts:
    """What stands beside the pixels of `source`. Raises `OSError` where the file cannot be opened or read."""
    if not isinstance(source, Path):
        return _read(source)
    with source.open("rb") as file:
        return _read(file)


def comment_segments(text: str) -> bytes:
    """ASCII `text` as JPEG comments, which `read_texts` finds as "easel"."""
    data = text.encode("ascii")
    parts = [JPEG_MARK + data[start : start + JPEG_PART] for start in range(0, len(data), JPEG_PART)]
    return b"".join(b"\xff\xfe" + struct.pack(">H", len(part) + 2) + part for part in parts)


def _read(file: BinaryIO) -> Texts:
    head = file.read(12)
    name, walk, start = _walk_of(head)
    reader = _Reader(file)
    file.seek(start)
    walk(reader)
    return Texts(name, reader.size, reader.texts, reader.problems)


def _walk_of(head: bytes) -> tuple[str, Callable[[_Reader], None], int]:
    """The format of a file that begins with `head`, what reads it, and where its first part begins."""
    if head.startswith(_PNG):
        return "PNG", _png, 8
    if head.startswith(b"\xff\xd8"):
        return "JPEG", _jpeg, 2
    if head[:4] == b"RIFF" and head[8:] == b"WEBP":
        return "WebP", _webp, 12
    return "", lambda _: None, 0


def _png(reader: _Reader) -> None:
    for kind, length in _parts(reader.file, _png_head):
        if kind == b"IHDR":
            sides = reader.file.read(8)
            reader.size = (int.from_bytes(sides[:4], "big"), int.from_bytes(sides[4:], "big"))
        elif kind in _PNG_TEXTS and len(reader.texts) < TEXTS_LIMIT:
            data = reader.content(kind.decode(), length, TEXT_LIMIT)
            if data is not None:
                _PNG_TEXTS[kind](reader, data)
        elif kind == b"eXIf":
            _exif(reader, length)
        elif kind == b"IEND":
            return


def _plain_text(reader: _Reader, data: bytes) -> None:
    keyword, _, text = data.partition(b"\0")
    reader.add(_latin(keyword), _utf8_or_latin(text))


def _packed_text(reader: _Reader, data: bytes) -> None:
    keyword, _, rest = data.partition(b"\0")
    text = reader.unpacked(_latin(keyword), rest[1:])
    if text is not None:
        reader.add(_latin(keyword), _utf8_or_latin(text))


def _international_text(reader: _Reader, data: bytes) -> None:
    keyword, _, rest = data.partition(b"\0")
    content = rest[2:].split(b"\0", 2)[-1]
    text = reader.unpacked(_latin(keyword), content) if rest[:1] == b"\x01" else content
    if text is not None:
        reader.add(_latin(keyword), text.decode("utf-8", "replace"))


_PNG_TEXTS: dict[bytes, Callable[[_Reader, bytes], None]] = {
    b"tEXt": _plain_text,
    b"zTXt": _packed_text,
    b"iTXt": _international_text,
}


def _jpeg(reader: _Reader) -> None:
    comments: list[bytes] = []
    for _ in range(CHUNKS_LIMIT):
        head = reader.file.read(4)
        if len(head) < 4 or head[0] != 0xFF or head[1] == 0xDA:  # at 0xDA the pixels begin
            break
        marker, length = head[1], struct.unpack(">H", head[2:])[0] - 2
        data = reader.file.read(max(length, 0))
        if marker in _FRAMES and len(data) >= 5:
            height, width = struct.unpack_from(">HH", data, 1)
            reader.size = (width, height)
        elif marker == 0xE1 and data.startswith(exif.PREFIX):
            _add_exif(reader, data)
        elif marker == 0xFE and len(comments) < TEXTS_LIMIT:
            comments.append(data)
    ours = [part.removeprefix(JPEG_MARK) for part in comments if part.startswith(JPEG_MARK)]
    others = [part for part in comments if not part.startswith(JPEG_MARK)]
    for name, parts in (("easel", ours), ("comment", others)):
        if parts:
            reader.add(name, _utf8_or_latin(b"".join(parts)))


def _webp(reader: _Reader) -> None:
    for kind, length in _parts(reader.file, _webp_head):
        if kind in _WEBP_SIZES:
            reader.size = _WEBP_SIZES[kind](reader.file.read(10).ljust(10, b"\0"))
        elif kind == b"EXIF":
            _exif(reader, length)


def _size_of_frame(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<HH", data, 6)
    return width & 0x3FFF, height & 0x3FFF


def _size_of_lossless(data: bytes) -> tuple[int, int]:
    bits = int.from_bytes(data[1:5], "little")
    return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1


def _size_of_canvas(data: bytes) -> tuple[int, int]:
    return int.from_bytes(data[4:7], "little") + 1, int.from_bytes(data[7:10], "little") + 1


_WEBP_SIZES = {b"VP8 ": _size_of_frame, b"VP8L": _size_of_lossless, b"VP8X": _size_of_canvas}


def _exif(reader: _Reader, length: int) -> None:
    data = reader.content("EXIF", length, EXIF_LIMIT)
    if data is not None:
        _add_exif(reader, data)


def _add_exif(reader: _Reader, data: bytes) -> None:
    for name, text in exif.read_texts(data).items():
        if len(text) > TEXT_LIMIT:
            reader.leave_out(name, f"is longer than {TEXT_LIMIT:,} characters")
        else:
            reader.add(name, text)


def _parts(file: BinaryIO, head_of: Callable[[bytes], tuple[bytes, int, int]]) -> Iterator[tuple[bytes, int]]:
    """Kind and length of a file's parts, in its order; `head_of` tells them, and how many bytes the part takes up.

    Whoever is given them may read what follows, as far as the length goes.
    """
    place = file.tell()
    for _ in range(CHUNKS_LIMIT):
        head = file.read(8)
        if len(head) < 8:
            return
        kind, length, taken = head_of(head)
        yield kind, length
        place += 8 + taken
        file.seek(place)


def _png_head(head: bytes) -> tuple[bytes, int, int]:
    length = int.from_bytes(head[:4], "big")
    return head[4:], length, length + 4


def _webp_head(head: bytes) -> tuple[bytes, int, int]:
    length = int.from_bytes(head[4:], "little")
    return head[:4], length, length + length % 2


def _latin(data: bytes) -> str:
    return data.decode("latin-1")


def _utf8_or_latin(data: bytes) -> str:
    """PNG says Latin-1, but many programs write UTF-8; text of the one is hardly ever valid as the other."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return _latin(data)
