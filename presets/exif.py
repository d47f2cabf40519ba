"""The few texts of EXIF that programs write their settings into, read and written.

EXIF is a TIFF file: a directory of entries of 12 bytes (tag, type, count, value or its place), of which one, the Exif
directory, points at another. Reading is total: whatever the bytes are, what can be found in them is returned, in time
and memory linear in their number.
"""

import struct
from collections.abc import Iterator, Mapping

from PIL import Image

DESCRIPTION, MAKE, MODEL, EXIF_DIRECTORY, USER_COMMENT = 0x010E, 0x010F, 0x0110, 0x8769, 0x9286
TAGS = {DESCRIPTION: "ImageDescription", MAKE: "Make", MODEL: "Model", USER_COMMENT: "UserComment"}
PREFIX = b"Exif\0\0"
ENTRIES_LIMIT = 200
"""Of one directory. Cameras write some forty."""

_BYTE, _TEXT, _UNDEFINED, _UTF8 = 1, 2, 7, 129
_UNICODE, _ASCII, _UNKNOWN = b"UNICODE\0", b"ASCII\0\0\0", b"\0" * 8


def read_texts(data: bytes) -> dict[str, str]:
    """The texts in EXIF `data` by the names of their tags, `TAGS`."""
    data = data.removeprefix(PREFIX)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None or len(data) < 8:
        return {}
    found = dict(_directory(data, order, struct.unpack_from(order + "I", data, 4)[0]))
    inner = found.get(EXIF_DIRECTORY)
    if isinstance(inner, int):
        found |= dict(_directory(data, order, inner))
    texts = {tag: value for tag, value in found.items() if isinstance(value, bytes)}
    return {TAGS[tag]: _decoded(tag, value) for tag, value in texts.items() if tag in TAGS}


def write_texts(description: str | None, user_comment: str | None) -> bytes:
    """EXIF with an ASCII `description`, and a `user_comment` as A1111 writes it: UTF-16, the high byte first."""
    exif = Image.Exif()
    if description is not None:
        exif[DESCRIPTION] = description
    if user_comment is not None:
        exif.get_ifd(EXIF_DIRECTORY)[USER_COMMENT] = _UNICODE + user_comment.encode("utf-16-be")
    return exif.tobytes()


def _directory(data: bytes, order: str, start: int) -> Iterator[tuple[int, bytes | int]]:
    """Tag and value of each entry that is a text or a place."""
    if start + 2 > len(data):
        return
    count = struct.unpack_from(order + "H", data, start)[0]
    for index in range(min(count, ENTRIES_LIMIT)):
        place = start + 2 + 12 * index
        if place + 12 > len(data):
            return
        tag, kind, size, value = struct.unpack_from(order + "HHII", data, place)
        if tag == EXIF_DIRECTORY:
            yield tag, value
        elif tag in TAGS and kind in (_BYTE, _TEXT, _UNDEFINED, _UTF8):
            first = place + 8 if size <= 4 else value
            yield tag, data[first : first + size]


def _decoded(tag: int, value: bytes) -> str:
    if tag != USER_COMMENT:
        return _utf8(value.rstrip(b"\0"))
    code, text = value[:8], value[8:]
    if code == _UNICODE:
        return text.decode(_utf16_of(text), "replace").removeprefix("\ufeff").rstrip("\0")
    return _utf8((text if code in (_ASCII, _UNKNOWN) else value).strip(b"\0"))


def _utf8(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _utf16_of(text: bytes) -> str:
    """The order of the bytes, which EXIF leaves open: in most texts the high ones are mostly zero."""
    if text[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16-le" if text[:1] == b"\xff" else "utf-16-be"
    return "utf-16-le" if text[1::2].count(0) > text[::2].count(0) else "utf-16-be"


def named(texts: Mapping[str, str], tag: int) -> str:
    """The text of `tag` among those that `read_texts` found, or an empty one."""
    return texts.get(TAGS[tag], "")
