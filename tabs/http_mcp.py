"""Easel as tools of an assistant, by the Model Context Protocol: each kind of request is one, named as its endpoint.

Gradio's own MCP server is not used: it calls the page through a client of its own, which nobody has signed in, and
fetches whatever address it is given as a picture.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from mcp import types  # pyright: ignore[reportMissingImports]
from mcp.server.lowlevel import Server  # pyright: ignore[reportMissingImports]
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager  # pyright: ignore[reportMissingImports]
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import Lifespan, Receive, Scope, Send

from pipelines.engine.jobs import Engine, Event, Failed, Job, Progress, Stopped
from presets.errors import UserError
from presets.requests import AnyRequest
from tabs.access import Access, ForeignOrigin
from tabs.api import ENDPOINTS
from tabs.http_foreign import in_base64
from tabs.http_lists import version
from tabs.http_requests import BODY_LIMIT, request_from
from tabs.mcp_tools import MODELS, TOOLS
from tabs.owners import owner_of
from tabs.records import record
from tabs.submitting import submit

PATH = "/mcp"
_ABOUT = (
    "Stable Diffusion on this server. Pictures are given and answered in base64; what is not given has its default."
)


@dataclass(frozen=True, slots=True)
class Door:
    """Where the server is mounted, and what must be entered while it is."""

    route: Route
    lifespan: Lifespan[Any]


def build(engine: Engine, access: Access) -> Door:
    """The door for assistants, closed to pages of other sites."""
    manager = StreamableHTTPSessionManager(_server(engine), max_request_body_size=BODY_LIMIT)

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        async with manager.run():
            yield

    return Door(Route(PATH, _Entrance(manager, access)), lifespan)


class _Entrance:
    """ASGI application: HTTP 403 for pages of other sites, and the protocol for all others."""

    def __init__(self, manager: StreamableHTTPSessionManager, access: Access):
        self._manager = manager
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._access.check(HTTPConnection(scope).headers)
        except ForeignOrigin as refusal:
            return await JSONResponse({"detail": str(refusal)}, status_code=403)(scope, receive, send)
        return await self._manager.handle_request(scope, receive, send)


def _server(engine: Engine) -> Server[Any, Any]:
    server: Server[Any, Any] = Server("Easel", version(), _ABOUT)

    @server.list_tools()
    async def tools() -> list[types.Tool]:
        return TOOLS

    @server.call_tool(validate_input=False)
    async def call(name: str, given: dict[str, Any]) -> types.CallToolResult:
        """What is raised becomes the tool's answer, marked as an error."""
        if name == MODELS and not given:
            listed = await asyncio.to_thread(engine.models)
            return _answer([], {"models": [model.model_dump(mode="json") for model in listed]})
        if name not in ENDPOINTS:
            known = ", ".join((*ENDPOINTS, f"{MODELS} (without arguments)"))
            raise UserError(f"There is no such tool. Tools are: {known}.", code="E-API-ARGS")
        values = {**given, "kind": ENDPOINTS[name].model_fields["kind"].default}
        wanted = await asyncio.to_thread(request_from, values, engine.inputs)
        return await _drawn(engine, wanted, server)

    return server


async def _drawn(engine: Engine, wanted: AnyRequest, server: Server[Any, Any]) -> types.CallToolResult:
    """The pictures of a request, whose job is its caller's; it is cancelled with the call. Raises `UserError`."""
    context = server.request_context
    assert context.request is not None
    job = await submit(engine, wanted, owner=owner_of(context.request), kept=False)
    try:
        async with aclosing(job.stream()) as events:
            async for event in events:
                if isinstance(event, Progress) and context.meta and context.meta.progressToken is not None:
                    await context.session.send_progress_notification(
                        context.meta.progressToken, *_progress(event), related_request_id=str(context.request_id)
                    )
                _raise_for(event)
    finally:
        job.cancel()
    return await asyncio.to_thread(_result, job)


def _progress(event: Progress) -> tuple[float, float, str]:
    """Steps done, of how many, in words."""
    done = (event.picture - 1) * event.steps + event.step
    return done, event.pictures * event.steps, f"Picture {event.picture} of {event.pictures}, step {event.step}"


def _raise_for(event: Event) -> None:
    if isinstance(event, Failed):
        raise UserError(event.message, code=event.code, field=event.field)
    if isinstance(event, Stopped):
        raise UserError("The job was cancelled.", code="E-CANCELLED")


def _result(job: Job) -> types.CallToolResult:
    pictures = [in_base64(saved) for saved in job.saved]
    return _answer(pictures, {"job": job.id, "pictures": [record(saved) for saved in job.saved]})


def _answer(pictures: list[str], about: dict[str, Any]) -> types.CallToolResult:
    images = [types.ImageContent(type="image", data=picture, mimeType="image/png") for picture in pictures]
    text = types.TextContent(type="text", text=json.dumps(about))
    return types.CallToolResult(content=[*images, text], structuredContent=about)
