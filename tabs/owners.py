"""Whose a job is: who signed in, else told by a secret that a browser has in a cookie, or a program in its
Authorization header.

Only a digest of the name or secret goes further, so that nobody who reads it can do what its owner can.
"""

import hashlib
import re
import secrets
from typing import Any

import gradio as gr
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "easel"
COOKIE_SECONDS = 365 * 24 * 3600
USER = "easel.user"
"""Where a request's scope has the name of the account that signed in."""
PERSON = "easel.person"
"""Where it says who signed in, by whatever way."""
_SECRET = re.compile(r"[A-Za-z0-9_-]{20,200}")


def user_of(request: HTTPConnection) -> str:
    """The name of the account that signed in; empty where none did."""
    return request.scope.get(USER, "")


def owner_of(request: HTTPConnection) -> str:
    """The owner that a request tells; all who tell none from one address are one."""
    address = request.client.host if request.client else ""
    return _digest(_secret_of(request) or f"address {address}")


def is_told(request: HTTPConnection) -> bool:
    """Whether a request tells an owner, not only an address."""
    return bool(_secret_of(request))


def _secret_of(request: HTTPConnection) -> str:
    """What tells one owner from the others; who signed in is no secret, but cannot be said by anybody else."""
    if person := request.scope.get(PERSON):
        return person
    given = request.headers.get("authorization", "")
    secret = given.removeprefix("Bearer ") if given.startswith("Bearer ") else request.cookies.get(COOKIE, "")
    return secret if _SECRET.fullmatch(secret) else ""


def owner_of_page(request: gr.Request | None) -> str:
    """The owner of a page, or of a program that uses an endpoint of Gradio's: its session where it has no cookie."""
    if request is None or request.request is None:
        return ""
    if person := request.request.scope.get(PERSON):
        return _digest(person)
    secret: Any = request.request.cookies.get(COOKIE, "")
    return _digest(secret if _SECRET.fullmatch(secret) else f"session {request.session_hash}")


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()[:32]


class OwnerCookie:
    """ASGI middleware that gives a browser its secret with the first page."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or _has_secret(HTTPConnection(scope)):
            return await self.app(scope, receive, send)
        is_safe = scope["scheme"] == "https" or _forwarded_scheme(scope) == "https"

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if headers.get("content-type", "").startswith("text/html"):
                    headers.append("set-cookie", _cookie(is_safe, scope.get("root_path", "")))
            await send(message)

        return await self.app(scope, receive, send_with_cookie)


def _forwarded_scheme(scope: Scope) -> str:
    """As the first of several proxies was asked."""
    return Headers(scope=scope).get("x-forwarded-proto", "").partition(",")[0].strip()


def _has_secret(connection: HTTPConnection) -> bool:
    return _SECRET.fullmatch(connection.cookies.get(COOKIE, "")) is not None


def _cookie(is_safe: bool, root_path: str) -> str:
    """Not to be read by scripts, nor sent to what else is served beside `root_path`. Over HTTPS it is also sent where
    the page stands in another's frame, as on Spaces."""
    where = "SameSite=None; Secure; Partitioned" if is_safe else "SameSite=Lax"
    return f"{COOKIE}={secrets.token_urlsafe(24)}; Max-Age={COOKIE_SECONDS}; Path={root_path or '/'}; HttpOnly; {where}"
