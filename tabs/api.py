"""The named Gradio endpoints, made from the requests: a new field of a request is a new parameter here."""

import inspect
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import aclosing
from typing import Any

import gradio as gr
from gradio.components.api_component import Api

from pipelines.engine.jobs import Engine, Event, Failed, Job, Stopped
from presets.checks import parse
from presets.errors import InvalidField, UserError
from presets.library import Library
from presets.requests import KINDS, AnyRequest
from tabs.api_lists import add_lists
from tabs.api_schemas import file_schema, parameter_schemas
from tabs.callers import calling, listening
from tabs.owners import owner_of_page
from tabs.records import record
from tabs.submitting import submit
from tabs.turns import turn
from tabs.uploads import referenced

Answer = tuple[list[dict[str, Any]], dict[str, Any]]
"""The files of the pictures so far, and the record: state, progress, request and timings of each picture."""

ENDPOINTS: dict[str, type[AnyRequest]] = {name.replace("-", "_"): kind for name, kind in KINDS.items()}
"""Endpoint name -> the request that it takes."""


_RECORD = {"type": "object", "additionalProperties": True}


def add_endpoints(engine: Engine, library: Library) -> None:
    """Give the page that is being built a public endpoint for each kind of request, and those that list models,
    presets and preprocessors."""
    for name, kind in ENDPOINTS.items():
        _add(engine, name, kind)
    add_lists(engine, library)


def indexes(page: gr.Blocks, public: Collection[str]) -> dict[int, str | None]:
    """Gradio's number of each event -> its endpoint's name, None for those that are not `public`: the page's own."""
    names = {number: str(function.api_name) for number, function in page.fns.items()}
    return {number: name if name in public else None for number, name in names.items()}


def _add(engine: Engine, name: str, kind: type[AnyRequest]) -> None:
    schemas = parameter_schemas(kind)

    def request(values: Sequence[Any]) -> AnyRequest:
        return parse(kind, referenced(engine.inputs, kind, dict(zip(schemas, values, strict=True))))

    async def endpoint(caller: gr.Request, *values: Any) -> AsyncGenerator[Answer, None]:
        try:
            job = await submit(engine, request(values), owner=owner_of_page(caller), kept=False)
        except UserError as problem:
            raise gr.Error(str(problem), print_exception=False) from None
        with calling(caller.session_hash, job):
            await listening(caller.session_hash, job)
            async with aclosing(job.stream()) as events:
                async for event in events:
                    await turn()
                    yield _answer(job, event)

    def check(*values: Any) -> list[dict[str, Any]]:
        verdicts = {name: gr.validate(True, "") for name in schemas}
        try:
            request(values)
        except InvalidField as problem:
            place = problem.field if problem.field in verdicts else next(iter(verdicts))
            verdicts[place] = gr.validate(False, str(problem))
        return list(verdicts.values())

    files: Any = {"type": "array", "items": file_schema()}
    gr.on(
        [],
        _with_parameters(endpoint, schemas),
        [_parameter(schema) for schema in schemas.values()],
        [Api(None, files, "pictures"), Api(None, _RECORD, "record")],
        preprocess=False,
        postprocess=False,
        show_progress="hidden",
        api_name=name,
        api_description=_description(kind),
        concurrency_limit=None,
        trigger_mode=None,
        validator=check,
    )


def _parameter(schema: dict[str, Any]) -> Api:
    """The input for one parameter. That None is allowed shows from its default, not from its type."""
    given = next((part for part in schema.get("anyOf", ()) if part.get("type") != "null"), schema)
    shown = given | {"additional_description": schema.get("description", "")}
    return Api(schema.get("default"), shown, schema.get("label", "parameter"))


def _with_parameters(function: Callable[..., Any], schemas: dict[str, dict[str, Any]]) -> Callable[..., Any]:
    """`function` under a signature with the schemas' names and defaults, which is what Gradio's clients are shown.

    Its own first parameter stays: Gradio puts in there who calls.
    """
    kind, empty = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.empty
    parameters = [
        inspect.Parameter("caller", kind, annotation=gr.Request),
        *(inspect.Parameter(name, kind, default=schema.get("default", empty)) for name, schema in schemas.items()),
    ]
    function.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportFunctionMemberAccess]
    return function


def _description(kind: type[AnyRequest]) -> str:
    return (
        f"{inspect.getdoc(kind)} Returns the picture files (PNG, with their settings inside) and a record: state, "
        "timings in seconds, and for each picture its resolved request. While the job runs, each answer is what there "
        "is so far. Cancelling the client's job cancels it here."
    )


def _answer(job: Job, event: Event) -> Answer:
    """What there is after `event`. Raises `gr.Error` where the job ended without its pictures."""
    if isinstance(event, Failed):
        raise gr.Error(f"{event.message} [{event.code}]", print_exception=False)
    if isinstance(event, Stopped):
        raise gr.Error("The job was cancelled. [E-CANCELLED]", print_exception=False)
    saved = job.saved
    files = [gr.FileData(path=str(picture.path), orig_name=picture.path.name).model_dump() for picture in saved]
    details = event.model_dump(mode="json", exclude={"type", "preview", "path", "request", "pictures"})
    pictures = [record(picture) for picture in saved]
    return files, {
        "job": job.id,
        "state": event.type,
        "count": job.request.picture_count,
        **details,
        "pictures": pictures,
    }
