"""What comes in by Gradio's own routes: no more than a body may hold, and nothing left of what broke off.

Gradio limits each file, but not how many come in one call nor what else is in it, and of an upload whose sender has
gone it keeps the part that came for good.
"""

import re
import shutil
from pathlib import Path

from gradio.utils import get_upload_folder
from starlette.datastructures import Headers
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tabs.calls import replayed
from tabs.http_requests import BODY_LIMIT, BodyTooLarge, read_body

_FILES = re.compile(r".*/gradio_api/(?:upload|component_server)/?")
_OTHERS = re.compile(r".*/(?:gradio_api/.*|login/?)")

ROOM = 2**16
"""Bytes that are free after an upload, at least."""


class WholeUploads:
    """ASGI middleware: HTTP 413 for a body of more than `limit` bytes; an upload that breaks off is removed at once,
    and one that the disk has no room for is answered by 503."""

    def __init__(self, app: ASGIApp, limit: int = BODY_LIMIT):
        self.app = app
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] != "http" or scope["method"] != "POST":
            return await self.app(scope, receive, send)
        if _FILES.fullmatch(path):
            if not _has_room(Headers(scope=scope).get("content-length", "")):
                sentence = "The upload was not taken: the server's disk is full. Try again later."
                return await PlainTextResponse(sentence, status_code=503)(scope, receive, send)
            return await self.app(scope, self._whole(receive), send)
        if not _OTHERS.fullmatch(path):  # the other doors limit theirs by themselves
            return await self.app(scope, receive, send)
        try:
            body = await read_body(HttpRequest(scope, receive), self.limit)
        except ClientDisconnect:
            return None
        except BodyTooLarge as problem:
            return await JSONResponse({"detail": str(problem)}, status_code=413)(scope, receive, send)
        return await self.app(scope, replayed(body, receive), send)

    def _whole(self, receive: Receive) -> Receive:
        """`receive`, which ends in the error after which Gradio removes what it has written so far."""
        size, is_over = 0, False

        async def checked() -> Message:
            nonlocal size, is_over
            message = await receive()
            size += len(message.get("body", b""))
            if size > self.limit:  # Gradio's own words for it make it answer 413
                raise MultiPartException(f"{BodyTooLarge(self.limit).message} It is the maximum allowed size.")
            if message["type"] == "http.disconnect" and not is_over:
                raise MultiPartException("The upload was broken off.")
            is_over = is_over or not message.get("more_body", False)
            return message

        return checked


def _has_room(length: str) -> bool:
    """Whether an upload of that "content-length" fits the disk: Gradio would leave there what it has written of one
    that does not."""
    folder = Path(get_upload_folder())
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    return shutil.disk_usage(there).free >= ROOM + (int(length) if length.isdecimal() else 0)
