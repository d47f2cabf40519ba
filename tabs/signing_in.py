"""Who signed in: by Gradio's own page, or by name and password with each call.

Gradio asks its own routes only, and not all of them. Here everything is closed that is not needed to sign in.
"""

import base64
import binascii
import hmac
from collections.abc import Mapping

from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from tabs.owners import PERSON, USER

OPEN = frozenset(
    {"", "/", "/config", "/login", "/login/", "/logout", "/theme.css", "/favicon.ico", "/manifest.json", "/robots.txt"}
    | {"/health", "/health/live", "/health/ready"}
    | {f"/gradio_api/{name}" for name in ("app_id", "login_check", "startup-events", "theme.css", "user")}
)
"""Of these Gradio itself shows only what is needed to sign in."""
OPEN_FOLDERS = ("/assets/", "/static/", "/svelte/")
CODE = "E-SIGN-IN"
MESSAGE = (
    "Sign in first: on the page, by the client's auth, or by name and password in the Authorization header "
    '("Basic ...", or "Bearer name:password").'
)


class SignedInOnly:
    """ASGI middleware: HTTP 401 for who did not sign in; of all others `owners.user_of` knows the name."""

    def __init__(self, app: ASGIApp, accounts: Mapping[str, str]):
        """`accounts` are the passwords by name."""
        self.app = app
        self.accounts = accounts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if user := self._user(HTTPConnection(scope)):
            return await self.app({**scope, USER: user, PERSON: f"account {user}"}, receive, send)
        if scope["type"] == "http" and _is_open(scope["path"].removeprefix(scope.get("root_path", ""))):
            return await self.app(scope, receive, send)
        content = {"code": CODE, "field": None, "message": MESSAGE, "detail": MESSAGE}
        return await JSONResponse(content, 401, _challenge(scope))(scope, receive, send)

    def _user(self, connection: HTTPConnection) -> str:
        """The name; empty for a stranger."""
        app = connection.scope["app"]  # Gradio's, which gives who signed in a token
        for kind in ("access-token", "access-token-unsecure"):
            if user := app.tokens.get(connection.cookies.get(f"{kind}-{app.cookie_id}")):
                return user
        name, _, password = _pair(connection.headers.get("authorization", "")).partition(":")
        known = self.accounts.get(name)
        is_right = hmac.compare_digest((known or "").encode(), password.encode())
        return name if known and is_right else ""


def _pair(authorization: str) -> str:
    """What an Authorization header says, as name:password."""
    scheme, _, given = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return given.strip()
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(given, validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return ""


def _is_open(path: str) -> bool:
    return path in OPEN or (path.startswith(OPEN_FOLDERS) and ".." not in path)


def _challenge(scope: Scope) -> dict[str, str]:
    """Has browsers and programs ask for the password, but not on the page itself, which has its own form."""
    is_page = "/gradio_api/" in scope["path"]
    return {} if is_page else {"www-authenticate": 'Basic realm="Easel", charset="UTF-8"'}
