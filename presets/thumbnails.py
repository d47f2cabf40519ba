"""Small pictures of the gallery's, made when they are first asked for and kept; a lost one is made again."""

import hashlib
import io
from contextlib import suppress
from pathlib import Path

from PIL import Image

from presets.errors import UserError
from presets.gallery_files import Picture
from presets.whole_files import written_whole

THUMBNAIL_SIDE = 256
"""Pixels of the longer side."""
_SAVED = {"format": "WEBP", "quality": 80, "method": 2}


class ThumbnailFailed(UserError):
    """A picture whose file cannot be read any more."""

    code = "E-IMAGE-TRUNCATED"

    def __init__(self, picture: Picture):
        super().__init__(f"The file of the picture {picture.identifier} cannot be read.")


class Thumbnails:
    """WebP files under `folder`, named by a hash of the picture's identifier and of when its file was written."""

    def __init__(self, folder: Path):
        self._folder = folder

    def of(self, picture: Picture) -> bytes:
        """The content of a WebP file. Raises `ThumbnailFailed`. Where the disk refuses, nothing is kept."""
        try:
            path = self._path(picture)
            with suppress(OSError):
                return path.read_bytes()
            content = _made(picture.path)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            raise ThumbnailFailed(picture) from None
        with suppress(OSError), written_whole(path) as file:
            file.write(content)
        return content

    def forget(self, picture: Picture) -> None:
        """The picture is removed."""
        name = _name(picture)
        with suppress(OSError):
            for path in self._folder.joinpath(name[:2]).glob(f"{name}-*"):
                path.unlink(missing_ok=True)

    def _path(self, picture: Picture) -> Path:
        name = _name(picture)
        return self._folder / name[:2] / f"{name}-{picture.path.stat().st_mtime_ns}.webp"


def _name(picture: Picture) -> str:
    return hashlib.sha256(picture.identifier.encode()).hexdigest()[:32]


def _made(path: Path) -> bytes:
    buffer = io.BytesIO()
    with Image.open(path, formats=("PNG",)) as image:
        whole = image.convert("RGBA" if image.has_transparency_data else "RGB")
    whole.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0)
    whole.save(buffer, **_SAVED)
    return buffer.getvalue()
