"""Easel over plain HTTP: one FastAPI application under `/api`, and what watching machines ask beside it."""

from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.routing import BaseRoute, Mount

from pipelines.engine.jobs import Engine
from presets.errors import UserError, shortened
from presets.library import Library
from tabs import http_a1111, http_openai, http_status
from tabs.access import Access
from tabs.http_jobs import REQUESTS, SCHEMAS, add_jobs, add_results
from tabs.http_lists import add_lists, version
from tabs.http_picture_changes import add_archive, add_changes
from tabs.http_pictures import add_pictures
from tabs.http_problems import RETRY_SECONDS, Problem, problem_of, status_of
from tabs.pictures import Pictures

PATH = "/api"
_ERRORS: dict[int | str, dict[str, Any]] = {
    404: {"model": Problem, "description": "There is no such job, or it is not yours."},
    413: {"model": Problem, "description": "The body is too large."},
    422: {"model": Problem, "description": "Something in the request cannot be used."},
    429: {"model": Problem, "description": "Too many of your jobs wait."},
    503: {"model": Problem, "description": "The queue is full, or the server is being closed."},
}


def routes(
    engine: Engine, library: Library, access: Access | None = None, pictures: Pictures | None = None
) -> list[BaseRoute]:
    """What is to be served beside the page; with `pictures` also the gallery."""
    access = access or Access()

    def check(request: HTTPConnection) -> None:
        access.check(request.headers)

    own, a1111 = build(engine, library, access, pictures), http_a1111.build(engine, check)
    openai = http_openai.build(engine, check, PATH)
    return [Mount(PATH, own), Mount("/sdapi/v1", a1111), Mount("/v1", openai), *http_status.routes(engine)]


def build(engine: Engine, library: Library, access: Access, pictures: Pictures | None = None) -> FastAPI:
    """The application. Callers are told apart as `owner_of` says, and see and stop their own jobs only."""

    async def check(request: Request) -> None:
        access.check(request.headers)

    app = FastAPI(
        title="Easel",
        version=version(),
        description=_ABOUT,
        docs_url=None,
        redoc_url=None,
        responses=_ERRORS,
        dependencies=[Depends(check)],
    )
    _answer_errors(app)
    add_jobs(app, engine)
    add_results(app, engine)
    add_lists(app, engine, library)
    if pictures:
        add_pictures(app, pictures)
        add_changes(app, pictures)
        add_archive(app, pictures)
    app.openapi_schema = _schema(app)
    return app


def _answer_errors(app: FastAPI) -> None:
    """Every error as a `Problem`."""

    @app.exception_handler(UserError)
    async def refuse(_: Request, error: UserError) -> Response:
        status = status_of(error)
        headers = {"retry-after": str(RETRY_SECONDS)} if status in (429, 503) else None
        return JSONResponse(problem_of(error).model_dump(), status, headers)

    @app.exception_handler(RequestValidationError)
    async def refuse_parameter(_: Request, error: RequestValidationError) -> Response:
        detail = error.errors()[0]
        name = str(detail["loc"][-1])
        message = f"{name} cannot be {shortened(detail.get('input'))}: {detail['msg']}."
        return JSONResponse(Problem(code="E-API-ARGS", field=name, message=message).model_dump(), 422)

    @app.exception_handler(HTTPException)
    async def refuse_path(request: Request, error: HTTPException) -> Response:
        message = f"{request.method} {shortened(request.url.path)}: {error.detail}."
        return JSONResponse(Problem(code="E-API-ARGS", message=message).model_dump(), error.status_code, error.headers)


def _schema(app: FastAPI) -> dict[str, Any]:
    """OpenAPI's description, with the requests among its schemas."""
    whole = app.openapi()
    definitions = REQUESTS.json_schema(ref_template=SCHEMAS)["$defs"]
    schemas = {**definitions, **whole["components"]["schemas"]}
    unused = ("HTTPValidationError", "ValidationError")
    whole["components"]["schemas"] = {name: schema for name, schema in schemas.items() if name not in unused}
    return whole


_ABOUT = """
Easel over plain HTTP. A request is sent to `/jobs` and answered with a job, which can be asked for, watched and
cancelled by its id, and holds its pictures.

Jobs belong to whoever sent them: tell yourself apart from others with `Authorization: Bearer <any secret of at least 20
letters, digits, - and _>`. Without one, all callers of one address are the same. Errors are JSON: `code`, `field`,
`message`.
"""
