"""The named Gradio endpoints, made from the requests: a new field of a request is a new parameter here."""

import inspect
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict
from typing import Any

import gradio as gr
from gradio.components.api_component import Api

from pipelines.engine.jobs import Engine, Event, Failed, Job, ModelInfo, PreprocessorInfo, Stopped
from presets.checks import parse
from presets.errors import InvalidField, UserError
from presets.library import Library
from presets.parts import parts_with_pictures, picture_fields
from presets.requests import KINDS, AnyRequest
from tabs.output import record
from tabs.owners import owner_of_page
from tabs.run import submit
from tabs.turns import turn
from tabs.uploads import referenced

Answer = tuple[list[dict[str, Any]], dict[str, Any]]
"""The files of the pictures so far, and the record: state, progress, request and timings of each picture."""

ENDPOINTS: dict[str, type[AnyRequest]] = {name.replace("-", "_"): kind for name, kind in KINDS.items()}
"""Endpoint name -> the request that it takes."""

LISTS = ("models", "presets", "preprocessors")
"""Endpoints that take nothing and tell what there is."""

_RECORD = {"type": "object", "additionalProperties": True}


def add_endpoints(engine: Engine, library: Library) -> None:
    """Give the page that is being built a public endpoint for each kind of request, and those that list models,
    presets and preprocessors."""
    for name, kind in ENDPOINTS.items():
        _add(engine, name, kind)
    _add_models(engine)
    _add_presets(library)
    _add_preprocessors(engine)


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
        try:
            async with aclosing(job.stream()) as events:
                async for event in events:
                    await turn()
                    yield _answer(job, event)
        finally:
            job.cancel()

    def check(*values: Any) -> list[dict[str, Any]]:
        verdicts = {name: gr.validate(True, "") for name in schemas}
        try:
            request(values)
        except InvalidField as problem:
            place = problem.field if problem.field in verdicts else next(iter(verdicts))
            verdicts[place] = gr.validate(False, str(problem))
        return list(verdicts.values())

    files: Any = {"type": "array", "items": _file_schema()}
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


def _add_models(engine: Engine) -> None:
    def models() -> list[dict[str, Any]]:
        return [model.model_dump(mode="json") for model in engine.models()]

    about = "The checkpoints there are: name, family, size, where the weights are, hash. Takes nothing."
    _add_list("models", models, ModelInfo.model_json_schema(), about)


def _add_presets(library: Library) -> None:
    def presets() -> list[dict[str, Any]]:
        listed = [asdict(preset) for kind in KINDS for preset in library.presets(kind)]
        return [{name: value for name, value in preset.items() if name != "thumbnail"} for preset in listed]

    about = "The presets there are: kind, name, title, help, and values to send. Takes nothing."
    _add_list("presets", presets, {"type": "object"}, about)


def _add_preprocessors(engine: Engine) -> None:
    def preprocessors() -> list[dict[str, Any]]:
        return [info.model_dump(mode="json") for info in engine.preprocessors()]

    about = (
        "What makes control pictures: name, parameters, the files it needs and whether they are here. Takes nothing."
    )
    _add_list("preprocessors", preprocessors, PreprocessorInfo.model_json_schema(), about)


def _add_list(name: str, entries: Callable[[], list[dict[str, Any]]], schema: dict[str, Any], about: str) -> None:
    """An endpoint that takes nothing and answers with `entries`, each of that JSON schema."""
    answer: Any = {"type": "array", "items": schema}
    gr.on(
        [],
        entries,
        None,
        Api(None, answer, name),
        postprocess=False,
        show_progress="hidden",
        api_name=name,
        api_description=about,
        queue=False,
    )


def parameter_schemas(kind: type[AnyRequest]) -> dict[str, dict[str, Any]]:
    """JSON schema of each parameter of `kind`, in the order of its fields, without references."""
    whole = kind.model_json_schema()
    properties = inlined(whole["properties"], whole.get("$defs", {}))
    pictures = {name: _file_schema() | _words_of(properties[name]) for name in picture_fields(kind)}
    for name, fields in parts_with_pictures(kind).items():
        own = properties[name]["items"]["properties"]
        own |= {field: _file_schema() | _words_of(own[field]) for field in fields}
    return {name: schema for name, schema in {**properties, **pictures}.items() if name != "kind"}


def _file_schema() -> dict[str, Any]:
    file = gr.FileData.model_json_schema()
    return inlined(file, file.get("$defs", {}))


def _words_of(schema: Mapping[str, Any]) -> dict[str, Any]:
    """What is said to people of a parameter, and its default."""
    return {key: schema[key] for key in ("label", "description", "default") if key in schema}


def inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    """`schema` with every `$ref` replaced by what it points at; without the one key that Gradio's clients trip over."""
    if isinstance(schema, list):
        return [inlined(part, definitions) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return inlined(definitions[schema["$ref"].rsplit("/", 1)[-1]], definitions)
    kept = {key: part for key, part in schema.items() if key != "additionalProperties"}
    return {key: inlined(part, definitions) for key, part in kept.items()}


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
