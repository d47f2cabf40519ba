"""Calls over HTTP that name no endpoint or give the wrong parameters: a sentence, before Gradio sees them.

Gradio answers an unknown endpoint or name with HTTP 500, and leaves out values that are too many without a word.
"""

import asyncio
import re
from collections.abc import Collection, Mapping
from typing import Any

from pydantic import BaseModel
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from presets.checks import parse
from presets.errors import InvalidField, UserError, shortened
from tabs.call_checks import UnreadableCall, check_envelope, check_files, check_number, json_object_of
from tabs.http_requests import BODY_LIMIT, BodyTooLarge, read_body
from tabs.uploads import stood_in

_CALL = re.compile(r".*/gradio_api/(?:call(?P<named>/v2)?|run|api)/(?P<name>[^/]+)/?")
_JOIN = re.compile(r".*/gradio_api/queue/join/?")


AT_ONCE = 8
"""Calls that are being accepted. Each takes some milliseconds of the event loop, in many parts; of hundreds at once the
parts would stand before those of every other request."""


class UnknownEndpoint(UserError):
    code = "E-API-ARGS"


class CheckedCalls:
    """ASGI middleware. `kinds` are the parameters by endpoint name, `lists` the endpoints that take nothing, `indexes`
    the names by Gradio's number of each event, None for events of the page itself."""

    def __init__(
        self,
        app: ASGIApp,
        kinds: Mapping[str, type[BaseModel]],
        lists: Collection[str],
        indexes: Mapping[int, str | None],
    ):
        self.app = app
        self.kinds = kinds
        self.lists = lists
        self.indexes = indexes
        self.turns = asyncio.Semaphore(AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] != "http" or scope["method"] != "POST" or not (_CALL.fullmatch(path) or _JOIN.fullmatch(path)):
            return await self.app(scope, receive, send)
        try:
            body = await read_body(HttpRequest(scope, receive), BODY_LIMIT)
            self._check(path, body)
        except ClientDisconnect:
            return None
        except BodyTooLarge as problem:
            return await _refusal(413, str(problem))(scope, receive, send)
        except InvalidField as problem:
            return await _refusal(422, [_verdict(problem)])(scope, receive, send)
        except UnreadableCall as problem:
            return await _refusal(400, str(problem))(scope, receive, send)
        except UnknownEndpoint as problem:
            return await _refusal(404, str(problem))(scope, receive, send)
        async with self.turns:
            return await self.app(scope, replayed(body, receive), send)

    def _check(self, path: str, body: bytes) -> None:
        """Raises `UnreadableCall`, `UnknownEndpoint` or `InvalidField`. The page's own events have other names."""
        call = _CALL.fullmatch(path)
        given = json_object_of(body)
        if not (call and call["named"]):
            check_envelope(given)
        check_files(given)
        number = given.get("fn_index")
        name = call["name"] if call and number is None else self._name_of(number)
        if name is None:
            return
        if name in self.lists and (given if call and call["named"] else given.get("data")):
            raise UnreadableCall(f"/{name} takes no parameters, but was given {shortened(given)}.")
        if name not in self.kinds and name not in self.lists:
            known = ", ".join(f"/{known}" for known in (*self.kinds, *self.lists))
            raise UnknownEndpoint(f"There is no endpoint {shortened('/' + name)}. There are: {known}.")
        if name in self.lists:
            return
        if call and call["named"]:
            parse(self.kinds[name], stood_in(self.kinds[name], given))
        elif isinstance(given.get("data"), list):
            check_number(self.kinds[name], len(given["data"]))

    def _name_of(self, number: Any) -> str | None:
        """The endpoint of Gradio's `number`; None for the page's own events and where no number is given."""
        if number is None:
            return None
        if not isinstance(number, int) or number not in self.indexes:
            raise UnknownEndpoint(f"There is no event {shortened(number)}.")
        return self.indexes[number]


def _verdict(problem: InvalidField) -> dict[str, Any]:
    """In the shape that Gradio's clients read after a validator."""
    return {"__type__": "validate", "is_valid": False, "message": str(problem), "parameter_name": problem.field}


def _refusal(status: int, detail: Any) -> JSONResponse:
    return JSONResponse({"detail": detail}, status_code=status)


def replayed(body: bytes, receive: Receive) -> Receive:
    """`receive` for the application behind: `body`, which has been read, then what comes after it."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Message:
        return pending.pop() if pending else await receive()

    return next_message
