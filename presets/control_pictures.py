"""Control pictures that were made before, so that the same picture is not preprocessed twice.

An entry is a PNG named by a hash of all that it was made of. It carries the hash of its own pixels; one that does not
fit is made again.
"""

import hashlib
import json
import os
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import Image, PngImagePlugin

from presets.inputs import BROKEN, digest

VERSION = 1
"""Of what preprocessors make: another number forgets all that they made before."""
LIMIT = 256 * 2**20
"""Bytes that are kept; the least recently used go first."""
ABANDONED_SECONDS = 600.0
"""A file still being written after this time belongs to a process that died."""
_PIXELS = "easel-pixels"


class ControlPictures:
    """The control pictures under `root` as `<key>.png`. Any thread and process may use it. A disk that refuses is no
    error: the picture is made again the next time."""

    def __init__(self, root: Path, limit: int = LIMIT):
        self.root = root
        self._limit = limit

    def get(self, key: str) -> Image.Image | None:
        """The picture (RGB) of that key, if it is kept and sound."""
        path = self._path(key)
        try:
            with Image.open(path, formats=("PNG",)) as image:
                image.load()
                pixels = image.info.get(_PIXELS)
            os.utime(path)
        except BROKEN:
            return None
        plain = Image.frombytes("RGB", image.size, image.tobytes()) if image.mode == "RGB" else None
        return plain if plain and digest(plain) == pixels else None

    def put(self, key: str, image: Image.Image) -> None:
        """Keep `image` (RGB) under that key; what is over the limit goes."""
        about = PngImagePlugin.PngInfo()
        about.add_text(_PIXELS, digest(image))
        partial = self.root / f".{uuid.uuid4().hex}.part"
        with suppress(OSError):
            self.root.mkdir(parents=True, exist_ok=True)
            try:
                image.save(partial, "PNG", pnginfo=about, compress_level=1)
                partial.replace(self._path(key))
            finally:
                partial.unlink(missing_ok=True)
            self._sweep()

    def _path(self, key: str) -> Path:
        return self.root / f"{key}.png"

    def _sweep(self) -> None:
        """Remove the least recently used beyond the limit, and what was left half written."""
        now, found = time.time(), []
        for entry in os.scandir(self.root):
            with suppress(OSError):
                state = entry.stat(follow_symlinks=False)
                if entry.name.endswith(".png"):
                    found.append((state.st_mtime, state.st_size, entry.path))
                elif entry.name.endswith(".part") and now - state.st_mtime > ABANDONED_SECONDS:
                    Path(entry.path).unlink()
        kept = 0
        for _, size, path in sorted(found, reverse=True):
            kept += size
            if kept > self._limit:
                with suppress(OSError):
                    Path(path).unlink()


def key_of(image: Image.Image, made_by: Mapping[str, Any]) -> str:
    """The name of what is made of `image` in the way that `made_by`, which JSON can hold, tells."""
    whole = {"pixels": digest(image), "version": VERSION, **made_by}
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()
