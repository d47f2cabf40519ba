"""The routes of AUTOMATIC1111's API that its clients need, translated to Easel's own requests."""

import asyncio
from collections import OrderedDict

from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from pipelines.engine.jobs import Engine, Job
from presets.checks import parse
from presets.errors import UserError
from presets.requests import TextToImage
from presets.samplers import SAMPLERS
from tabs.a1111_answers import answer, model_entry, progress_of, told
from tabs.a1111_requests import plain_name, request_of
from tabs.http_foreign import AnyJson, Check, checked, drawn
from tabs.http_problems import status_of
from tabs.http_requests import BODY_LIMIT, content_of, json_object, read_body
from tabs.owners import owner_of

OWNERS = 1000


def build(engine: Engine, check: Check) -> Starlette:
    """The application, to be mounted at `/sdapi/v1`. `check` raises `UserError` for who may not use it."""
    chosen: OrderedDict[str, str] = OrderedDict()
    """Owner -> the checkpoint that was chosen by the options, of the latest `OWNERS`."""

    async def draw(request: HttpRequest) -> Response:
        given = json_object(await read_body(request, BODY_LIMIT))
        owner = owner_of(request)
        wanted, notes = await asyncio.to_thread(request_of, engine, given, chosen.get(owner, ""), _is_img2img(request))
        job = await drawn(engine, wanted, owner)
        return AnyJson(await asyncio.to_thread(answer, job, given, notes))

    async def options(request: HttpRequest) -> Response:
        if request.method == "POST":
            name = json_object(await read_body(request, BODY_LIMIT)).get("sd_model_checkpoint")
            if isinstance(name, str):
                wanted = parse(TextToImage, {"prompt": "", "checkpoint": plain_name(name)})
                chosen[owner_of(request)] = wanted.checkpoint
                chosen.move_to_end(owner_of(request))
                while len(chosen) > OWNERS:
                    chosen.popitem(last=False)
            return AnyJson(None)
        default = next((model.name for model in engine.models()), "")
        return AnyJson({"sd_model_checkpoint": chosen.get(owner_of(request), default)})

    async def models(_: HttpRequest) -> Response:
        listed = await asyncio.to_thread(engine.models)
        return AnyJson([model_entry(model.name, model.sha256) for model in listed])

    async def samplers(_: HttpRequest) -> Response:
        return AnyJson([{"name": name, "aliases": [], "options": {}} for name in SAMPLERS])

    async def progress(request: HttpRequest) -> Response:
        return AnyJson(progress_of(_running(engine, owner_of(request))))

    async def png_info(request: HttpRequest) -> Response:
        image = json_object(await read_body(request, BODY_LIMIT)).get("image")
        content = content_of(str(image or ""), "image")
        return AnyJson(await asyncio.to_thread(told, content, engine))

    async def interrupt(request: HttpRequest) -> Response:
        job = _running(engine, owner_of(request))
        if job is not None:
            job.cancel()
        return AnyJson({})

    routes = [
        Route("/txt2img", draw, methods=["POST"]),
        Route("/img2img", draw, methods=["POST"]),
        Route("/options", options, methods=["GET", "POST"]),
        Route("/sd-models", models),
        Route("/samplers", samplers),
        Route("/progress", progress),
        Route("/interrupt", interrupt, methods=["POST"]),
        Route("/png-info", png_info, methods=["POST"]),
    ]
    return Starlette(routes=checked(routes, check), exception_handlers={UserError: _refuse})


async def _refuse(_: HttpRequest, error: Exception) -> Response:
    assert isinstance(error, UserError)
    content = {"error": error.code, "detail": str(error), "body": "", "errors": error.message}
    return AnyJson(content, status_of(error))


def _is_img2img(request: HttpRequest) -> bool:
    return request.url.path.rstrip("/").endswith("img2img")


def _running(engine: Engine, owner: str) -> Job | None:
    """The owner's job that runs, or else waits longest."""
    jobs = [job for job in reversed(engine.jobs_of(owner)) if not job.done]
    return next((job for job in jobs if job.state == "running"), jobs[0] if jobs else None)
