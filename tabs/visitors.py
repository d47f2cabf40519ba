"""Whose quota a job takes where GPUs are lent: that of the visitor whose request is being answered."""

from gradio.context import LocalContext
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send


class VisitorsRequest:
    """ASGI middleware that puts each request where Gradio puts those of its own events, so that it is found there by
    whatever door a job came in."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            LocalContext.request.set(Request(scope))  # pyright: ignore[reportArgumentType] - Gradio's wraps the same
        await self.app(scope, receive, send)
