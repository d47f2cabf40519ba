"""Of the gallery's folder only the pictures are served: its index, which holds every prompt, lies there too. Where each
visitor has their own pictures, only those whose address nobody can guess.

Gradio's own `blocked_paths` compares names in lower case before it follows links, so that a link to a folder with a
capital letter in its name leads around it.
"""

import errno
import os
import re
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from presets.gallery_files import is_guessable

_FILE = re.compile(r"/file[=/]")
_PROXY = "/proxy="
"""Gradio fetches other hosts' files under such paths, for pages that are made of others; and where a file's name is
an address, it sends there."""
_ADDRESS = re.compile(r"\s*https?:", re.IGNORECASE)


class OnlyPictures:
    """ASGI middleware: HTTP 403 for files of other hosts, for those under `folder` that are no PNG, and with
    `is_private` for those that have a name without a secret part."""

    def __init__(self, app: ASGIApp, folder: Path, *, is_private: bool = False):
        self.app = app
        self.folder = folder
        self.is_private = is_private

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._is_refused(scope["path"]):
            return await JSONResponse({"detail": "File not allowed."}, status_code=403)(scope, receive, send)
        return await self.app(scope, receive, send)

    def _is_refused(self, path: str) -> bool:
        """Whether `path` may stand for such a file, or for another host's. It is read from each `/file=`, as the name
        may hold others."""
        names = [path[match.end() :] for match in _FILE.finditer(path)]
        return _PROXY in path or any(_ADDRESS.match(name) or self._is_hidden(name) for name in names)

    def _is_hidden(self, name: str) -> bool:
        try:
            file = Path(os.path.abspath(name)).resolve()  # noqa: PTH100 - as Gradio: first "..", then links
        except (OSError, ValueError, RuntimeError):  # no name of a file, or links in a circle
            return False
        if not file.is_relative_to(self.folder.resolve()):
            return False
        return file.suffix.lower() != ".png" or (self.is_private and is_guessable(file))


async def answer_long_name(_: Request, error: Exception) -> JSONResponse:
    """HTTP 404 where a file was asked for by a name longer than any can have, of which Gradio takes no notice."""
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return JSONResponse({"detail": "Not Found"}, status_code=404)
    raise error
