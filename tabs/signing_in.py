"""Who signed in: by Gradio's own page, or by name and password with each call.

Gradio asks its own routes only, and not all of them. Here everything is closed that is not needed to sign in.
"""

import base64
import binascii
import hmac
import math
import re
from collections.abc import Hashable, Mapping

from starlette.requests import HTTPConnection
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from presets.errors import UserError
from tabs.calls import replayed
from tabs.guesses import Guesses
from tabs.http_requests import BodyTooLarge, read_body
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


SIGN_IN = re.compile("/login/?")
FORM_LIMIT = 64 * 1024
"""Bytes of a sign-in form."""


class SignedInOnly:
    """ASGI middleware: HTTP 401 for who did not sign in, 429 for who tries one wrong password after the other; of all
    others `owners.user_of` knows the name."""

    def __init__(self, app: ASGIApp, accounts: Mapping[str, str]):
        """`accounts` are the passwords by name."""
        self.app = app
        self.accounts = accounts
        self.guesses = Guesses()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        try:
            user = self._user(HTTPConnection(scope))
        except TooManyGuesses as refusal:
            return await refusal.answer()(scope, receive, send)
        if user:
            return await self.app({**scope, USER: user, PERSON: f"account {user}"}, receive, send)
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if scope["type"] == "http" and scope["method"] == "POST" and SIGN_IN.fullmatch(path):
            return await self._sign_in(scope, receive, send)
        if scope["type"] == "http" and _is_open(path):
            return await self.app(scope, receive, send)
        content = {"code": CODE, "field": None, "message": MESSAGE, "detail": MESSAGE}
        return await JSONResponse(content, 401, _challenge(scope))(scope, receive, send)

    async def _sign_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Gradio's own sign-in, which answers 200 or 400, for who may try now."""
        try:
            body = await read_body(HttpRequest(scope, receive), FORM_LIMIT)
        except BodyTooLarge as problem:
            return await JSONResponse({"detail": str(problem)}, 413)(scope, receive, send)
        form = await HttpRequest(scope, replayed(body, receive)).form()
        who = _who(scope, str(form.get("username", "")).strip())
        if wait := self.guesses.wait(who):
            return await TooManyGuesses(wait).answer()(scope, receive, send)

        async def note(message: Message) -> None:
            if message["type"] == "http.response.start":
                (self.guesses.right if message["status"] == 200 else self.guesses.wrong)(who)
            await send(message)

        return await self.app(scope, replayed(body, receive), note)

    def _user(self, connection: HTTPConnection) -> str:
        """The name; empty for a stranger. Raises `TooManyGuesses`."""
        app = connection.scope["app"]  # Gradio's, which gives who signed in a token
        for kind in ("access-token", "access-token-unsecure"):
            if user := app.tokens.get(connection.cookies.get(f"{kind}-{app.cookie_id}")):
                return user
        name, _, password = _pair(connection.headers.get("authorization", "")).partition(":")
        if not name:
            return ""
        who = _who(connection.scope, name)
        if wait := self.guesses.wait(who):
            raise TooManyGuesses(wait)
        known = self.accounts.get(name)
        is_right = hmac.compare_digest((known or "").encode(), password.encode())
        (self.guesses.right if known and is_right else self.guesses.wrong)(who)
        return name if known and is_right else ""


class TooManyGuesses(UserError):
    """So many wrong passwords that the next one must wait."""

    code = CODE

    def __init__(self, seconds: float):
        self.seconds = math.ceil(seconds)
        super().__init__(f"Too many wrong passwords; the next one is looked at in {self.seconds} s.")

    def answer(self) -> JSONResponse:
        content = {"code": self.code, "field": None, "message": self.message, "detail": self.message}
        return JSONResponse(content, 429, {"retry-after": str(self.seconds)})


def _who(scope: Scope, name: str) -> Hashable:
    """Who tries passwords of `name`."""
    return (scope.get("client") or ("",))[0], name


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
