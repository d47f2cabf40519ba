"""A preset as a link: what its file says, packed into the query of the page's address."""

import base64
import binascii
import zlib
from pathlib import Path

from presets import toml_files
from presets.library import Preset, kind_of, preset_of
from presets.toml_files import SIZE_LIMIT, FileRefused

PARAMETER = "preset"
LINK_LIMIT = 8_000
"""Characters. Browsers and proxies take addresses of about that length."""
NAME = "The preset in the link"


def query_of(path: Path) -> str:
    """The query, such as "preset=eJx...", that stands for the preset in the file `path`. Raises `FileRefused`."""
    try:
        packed = base64.urlsafe_b64encode(zlib.compress(path.read_bytes(), 9)).decode("ascii").rstrip("=")
    except OSError as error:
        raise FileRefused(f"The preset cannot be read: {error.strerror}.") from None
    if len(packed) > LINK_LIMIT:
        raise FileRefused(f"The preset is too long for a link ({len(packed):,} characters): share its file.")
    return f"{PARAMETER}={packed}"


def preset_in(value: str) -> Preset:
    """The preset that the parameter's `value` stands for. Raises `FileRefused`, whatever a stranger wrote there."""
    if len(value) > LINK_LIMIT:
        raise FileRefused(f"{NAME} has {len(value):,} characters; at most {LINK_LIMIT:,} are allowed.")
    try:
        packed = base64.b64decode(value.encode("ascii") + b"=" * (-len(value) % 4), altchars=b"-_", validate=True)
        unpacking = zlib.decompressobj()
        data = unpacking.decompress(packed, SIZE_LIMIT)
    except (UnicodeEncodeError, binascii.Error, zlib.error):
        raise FileRefused(f"{NAME} is damaged: copy the whole link.") from None
    if not unpacking.eof:
        raise FileRefused(f"{NAME} is damaged or too long.")
    content = toml_files.content_of(data, NAME)
    return preset_of(NAME, content, kind_of(NAME, content))
