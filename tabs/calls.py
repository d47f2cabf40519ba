"""Calls over HTTP that name no endpoint or give the wrong parameters: a sentence, before Gradio sees them.

Gradio answers an unknown endpoint or name with HTTP 500, and leaves out values that are too many without a word.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from presets.errors import InvalidField, UserError, shortened
from presets.requests import TextToImage, parse

_CALL = re.compile(r".*/gradio_api/call(?P<named>/v2)?/(?P<name>[^/]+)/?")
_JOIN = re.compile(r".*/gradio_api/queue/join/?")


class UnknownEndpoint(UserError):
    code = "E-API-ARGS"


class CheckedCalls:
    """ASGI middleware. `kinds` are the requests by endpoint name, `indexes` the names by Gradio's number of them."""

    def __init__(self, app: ASGIApp, kinds: Mapping[str, type[TextToImage]], indexes: Mapping[int, str]):
        self.app = app
        self.kinds = kinds
        self.indexes = indexes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] != "http" or scope["method"] != "POST" or not (_CALL.fullmatch(path) or _JOIN.fullmatch(path)):
            return await self.app(scope, receive, send)
        body = await HttpRequest(scope, receive).body()
        try:
            self._check(path, body)
        except InvalidField as problem:
            return await _refusal(422, [_verdict(problem)])(scope, receive, send)
        except UnknownEndpoint as problem:
            return await _refusal(404, str(problem))(scope, receive, send)
        return await self.app(scope, _replayed(body, receive), send)

    def _check(self, path: str, body: bytes) -> None:
        """Raises `UnknownEndpoint` or `InvalidField`. A body that is no JSON object is left to Gradio's own answer."""
        call = _CALL.fullmatch(path)
        given = _json_object(body)
        if given is None:
            return
        name = call["name"] if call else self.indexes.get(given.get("fn_index", -1))
        if name is None:
            return
        if name not in self.kinds:
            known = ", ".join(f"/{known}" for known in self.kinds)
            raise UnknownEndpoint(f"There is no endpoint {shortened('/' + name)}. There are: {known}.")
        if call and call["named"]:
            parse(self.kinds[name], given)
        elif isinstance(given.get("data"), list):
            _check_number(self.kinds[name], len(given["data"]))


def _check_number(kind: type[TextToImage], given: int) -> None:
    names = [name for name in kind.model_fields if name != "kind"]
    if given != len(names):
        sentence = f"{len(names)} parameters are needed in order ({', '.join(names)}), but {given} were given."
        raise InvalidField(names[min(given, len(names) - 1)], sentence, code="E-API-ARGS")


def _json_object(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _verdict(problem: InvalidField) -> dict[str, Any]:
    """In the shape that Gradio's clients read after a validator."""
    return {"__type__": "validate", "is_valid": False, "message": str(problem), "parameter_name": problem.field}


def _refusal(status: int, detail: Any) -> JSONResponse:
    return JSONResponse({"detail": detail}, status_code=status)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """`receive` for the application behind: `body`, which has been read, then what comes after it."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Message:
        return pending.pop() if pending else await receive()

    return next_message
