"""The routes of jobs: sent, asked for, watched, cancelled, and their pictures."""

import asyncio
import secrets
from contextlib import aclosing, suppress
from typing import Annotated, Any

from fastapi import FastAPI, Header, Query, Request, Response
from fastapi.responses import FileResponse, StreamingResponse
from pydantic import TypeAdapter

from pipelines.engine.jobs import Engine, Job
from presets.errors import UserError
from presets.images import FILE_LIMIT, ImageRef
from presets.requests import AnyRequest
from tabs.http_events import first_after, server_sent
from tabs.http_requests import BODY_LIMIT, kept_file, read_body, request_of
from tabs.http_views import JobView, UnknownJob, job_view
from tabs.owners import owner_of
from tabs.turns import turn

WAIT_LIMIT = 600.0
"""Seconds."""
REQUESTS: TypeAdapter[AnyRequest] = TypeAdapter(AnyRequest)
SCHEMAS = "#/components/schemas/{model}"
"""Where OpenAPI has the parts of a schema."""


def add_jobs(app: FastAPI, engine: Engine) -> None:
    @app.post("/jobs", status_code=201, openapi_extra=_body(REQUESTS), summary="Queue a request")
    async def create(
        request: Request,
        response: Response,
        wait: Annotated[float, Query(ge=0, le=WAIT_LIMIT, description="Seconds to wait for its end.")] = 0,
        kept: Annotated[bool, Query(description="Keep it in the queue while nobody watches it.")] = True,
    ) -> JobView:
        """Any kind of request, told by `kind`. A picture is given by its reference (see `/inputs`) or as base64.

        Answers at once with the job, or with `wait` once it has ended, whatever it ended as, or that time is over.
        """
        body = await read_body(request, BODY_LIMIT)
        wanted = await asyncio.to_thread(request_of, body, engine.inputs)
        job = await asyncio.to_thread(engine.submit, wanted, owner=owner_of(request), kept=kept)
        await _ended(job, wait)
        response.headers["location"] = f"{_base(request)}/jobs/{job.id}"
        return await asyncio.to_thread(_view, engine, job, request)

    @app.get("/jobs", summary="List your jobs")
    def listed(request: Request) -> list[JobView]:
        """Those that wait or run, and the latest of the last day, the newest first."""
        return [_view(engine, job, request) for job in engine.jobs_of(owner_of(request))]

    @app.get("/jobs/{identifier}", summary="Ask for a job")
    def told(identifier: str, request: Request) -> JobView:
        """Whatever its state, for a day after its end."""
        return _view(engine, _own(engine, identifier, request), request)

    @app.delete("/jobs/{identifier}", summary="Cancel a job")
    def cancel(identifier: str, request: Request) -> JobView:
        """It stops within a step; its finished pictures stay. Nothing happens to one that has ended."""
        job = _own(engine, identifier, request)
        job.cancel()
        return _view(engine, job, request)

    @app.post("/jobs/{identifier}/up", summary="Move a waiting job up")
    def move_up(identifier: str, request: Request) -> JobView:
        """It goes before the one of yours that is before it; nobody else's place changes."""
        job = _own(engine, identifier, request)
        engine.move_up(job)
        return _view(engine, job, request)


def add_results(app: FastAPI, engine: Engine) -> None:
    run = secrets.token_hex(4)

    @app.get(
        "/jobs/{identifier}/events",
        summary="Watch a job",
        response_class=StreamingResponse,
        responses={204: {"description": "The event that `Last-Event-ID` names was the last."}},
    )
    async def events(
        identifier: str, request: Request, last_event_id: Annotated[str | None, Header()] = None
    ) -> Response:
        """Server-sent events: queued, loading, progress, warned, saved, and at the end finished, failed or stopped.

        After a broken connection, `Last-Event-ID` goes on behind the event it names, as browsers do by themselves.
        """
        job = await asyncio.to_thread(_own, engine, identifier, request)
        first = first_after(job, last_event_id, run)
        if first is None:
            return Response(status_code=204)
        stream = server_sent(job, first, run, _base(request))
        return StreamingResponse(stream, media_type="text/event-stream", headers={"cache-control": "no-store"})

    @app.get("/jobs/{identifier}/pictures/{index}", summary="Fetch a picture", response_class=FileResponse)
    def picture(identifier: str, index: int, request: Request) -> FileResponse:
        """The PNG file as it was saved, with its settings inside."""
        job = _own(engine, identifier, request)
        saved = next((saved for saved in job.saved if saved.index == index), None)
        if saved is None or not saved.path.is_file():
            raise UserError(f"The job has no picture {index}.", code=UnknownJob.code)
        return FileResponse(saved.path, media_type="image/png", filename=saved.path.name)

    @app.post("/inputs", status_code=201, openapi_extra=_FILE, summary="Give a picture")
    async def keep(request: Request) -> ImageRef:
        """The body is the file. What comes back stands for the picture in requests."""
        content = await read_body(request, FILE_LIMIT)
        return await asyncio.to_thread(kept_file, engine.inputs, content)


async def _ended(job: Job, seconds: float) -> None:
    """Return once the job has ended or the seconds are over."""

    async def watch() -> None:
        async with aclosing(job.stream()) as events:
            async for _ in events:
                await turn()

    if seconds:
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(watch(), seconds)


def _own(engine: Engine, identifier: str, request: Request) -> Job:
    """Raises `UnknownJob`, also for one of somebody else's."""
    job = engine.job(identifier)
    if job is None or job.owner != owner_of(request):
        raise UnknownJob(identifier)
    return job


def _view(engine: Engine, job: Job, request: Request) -> JobView:
    place = engine.places(job.owner).get(job.id) if job.state == "queued" else None
    return job_view(job, place, _base(request))


def _base(request: Request) -> str:
    return request.scope.get("root_path", "")


def _body(adapter: TypeAdapter[Any]) -> dict[str, Any]:
    schema = adapter.json_schema(ref_template=SCHEMAS)
    schema.pop("$defs", None)
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


_FILE = {"requestBody": {"required": True, "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}}}
