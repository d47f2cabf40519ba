"""The routes of OpenAI's images API, translated to Easel's own requests."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from pipelines.engine.jobs import Engine, Job, Saved
from presets.errors import InvalidField, UserError
from presets.requests import AnyRequest
from tabs.http_foreign import AnyJson, Check, checked, drawn, in_base64
from tabs.http_problems import RETRY_SECONDS, status_of
from tabs.http_requests import BODY_LIMIT, BodyTooLarge, UnreadableBody, json_object, read_body
from tabs.http_views import picture_url
from tabs.openai_requests import edit_of, from_form, generation_of, ignored
from tabs.owners import owner_of

FIELDS = 100
"""Parameters of one call."""
PICTURES = ("image", "image[]", "mask")


def build(engine: Engine, check: Check, results: str) -> Starlette:
    """The application, to be mounted at `/v1`. `check` raises `UserError` for who may not use it; `results` is the
    path under which jobs have their pictures."""

    async def generate(request: HttpRequest) -> Response:
        given = json_object(await read_body(request, BODY_LIMIT))
        return await answered(request, given, await asyncio.to_thread(generation_of, given))

    async def edit(request: HttpRequest) -> Response:
        form = await _form(request)
        given = from_form({name: value for name, value in form.items() if isinstance(value, str)})
        image, mask = await _files(form)
        return await answered(request, given, await asyncio.to_thread(edit_of, engine.inputs, given, image, mask))

    async def answered(request: HttpRequest, given: Mapping[str, Any], wanted: AnyRequest) -> Response:
        job = await drawn(engine, wanted, owner_of(request))
        base = f"{str(request.base_url).rstrip('/').removesuffix('/v1')}{results}"
        return AnyJson(await asyncio.to_thread(_answer, job, given, base))

    async def models(_: HttpRequest) -> Response:
        listed = await asyncio.to_thread(engine.models)
        about = [{"id": model.name, "object": "model", "created": 0, "owned_by": "easel"} for model in listed]
        return AnyJson({"object": "list", "data": about})

    routes = [
        Route("/images/generations", generate, methods=["POST"]),
        Route("/images/edits", edit, methods=["POST"]),
        Route("/models", models),
    ]
    return Starlette(routes=checked(routes, check), exception_handlers={UserError: _refuse})


async def _refuse(_: HttpRequest, error: Exception) -> Response:
    assert isinstance(error, UserError)
    status = 404 if error.code == "E-MODEL-MISSING" else status_of(error)
    status = 400 if status == 422 else status
    kind = "server_error" if status >= 500 else "invalid_request_error"
    content = {"error": {"message": error.message, "type": kind, "param": error.field, "code": error.code}}
    headers = {"retry-after": str(RETRY_SECONDS)} if status in (429, 503) else None
    return AnyJson(content, status, headers)


async def _form(request: HttpRequest) -> FormData:
    """The parts of a body of at most `BODY_LIMIT` bytes. Raises `UserError`."""

    async def limited() -> AsyncGenerator[bytes, None]:
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > BODY_LIMIT:
                raise BodyTooLarge(BODY_LIMIT)
            yield chunk

    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise UnreadableBody("The body must be multipart/form-data: the picture is sent as a file.")
    parser = MultiPartParser(request.headers, limited(), max_files=len(PICTURES), max_fields=FIELDS)
    try:
        return await parser.parse()
    except MultiPartException as problem:
        raise UnreadableBody(f"The body cannot be read: {problem.message}") from None


async def _files(form: FormData) -> tuple[bytes, bytes | None]:
    """The picture and the mask, if there is one. Raises `InvalidField`."""
    files = [(name, value) for name, value in form.multi_items() if isinstance(value, UploadFile)]
    try:
        contents = [(name, await file.read()) for name, file in files]
    finally:
        await form.close()
    images = [content for name, content in contents if name in ("image", "image[]")]
    if len(images) != 1:
        raise InvalidField("image", f"One picture is edited at a time, but {len(images)} were given.", code="E-IMAGE")
    return images[0], next((content for name, content in contents if name == "mask"), None)


def _answer(job: Job, given: Mapping[str, Any], base: str) -> dict[str, Any]:
    """In OpenAI's shape, and beside it what the pictures were made of and what of the call says nothing here."""
    by_url = given.get("response_format") == "url"

    def picture(saved: Saved) -> dict[str, str]:
        return {"url": picture_url(job, saved.index, base)} if by_url else {"b64_json": in_base64(saved)}

    requests = [saved.request.model_dump(mode="json") for saved in job.saved]
    return {
        "created": int(job.created),
        "output_format": "png",
        "data": [picture(saved) for saved in job.saved],
        "easel": {"job": job.id, "requests": requests, "ignored": ignored(given, type(job.request))},
    }
