"""What the doors for other programs' clients share: such a client sends one call and waits for its pictures."""

import asyncio
import base64
import json
from collections.abc import Callable, Iterable
from typing import Any

from starlette.requests import HTTPConnection
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pipelines.engine.jobs import Engine, Failed, Job, Saved, Stopped
from presets.errors import UserError
from presets.requests import AnyRequest

Check = Callable[[HTTPConnection], None]
"""Raises `UserError` for who may not use a door."""


class AnyJson(JSONResponse):
    """Also with text in it that is none, such as half of a character, which a client may have sent."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


def checked(routes: Iterable[Route], check: Check) -> list[Route]:
    """`routes`, each behind `check`."""

    def guarded(route: Route) -> Route:
        async def answer(request: HttpRequest) -> Response:
            check(request)
            return await route.endpoint(request)

        return Route(route.path, answer, methods=sorted(route.methods or ()))

    return [guarded(route) for route in routes]


async def drawn(engine: Engine, request: AnyRequest, owner: str) -> Job:
    """The job of `request` once it has ended. Raises `UserError` where it ended without its pictures."""
    job = await asyncio.to_thread(engine.submit, request, owner=owner, kept=False)
    async for event in job.stream():
        if isinstance(event, Failed):
            raise UserError(event.message, code=event.code, field=event.field)
        if isinstance(event, Stopped) and not job.saved:
            raise UserError("The job was cancelled.", code="E-CANCELLED")
    return job


def in_base64(saved: Saved) -> str:
    """The PNG file as it was saved."""
    return base64.b64encode(saved.path.read_bytes()).decode()
