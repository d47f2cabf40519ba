"""What machines that watch a server ask: whether it lives, whether it is ready, and its figures (Prometheus)."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from pipelines.engine.jobs import Engine

READY = ("ready", "busy")
_PROMETHEUS = "text/plain; version=0.0.4"


def routes(engine: Engine) -> list[Route]:
    """`/health/live` answers while the page can, `/health/ready` (and `/health`) is 503 while no job can run."""

    async def live(_: Request) -> Response:
        return JSONResponse({"live": True})

    async def ready(_: Request) -> Response:
        status = engine.status()
        content = {"live": True, "ready": is_ready(engine), "state": status.state, "detail": status.detail}
        return JSONResponse(content, 200 if is_ready(engine) else 503)

    async def figures(_: Request) -> Response:
        return PlainTextResponse(metrics(engine), media_type=_PROMETHEUS)

    paths = {"/health": ready, "/health/ready": ready, "/health/live": live, "/metrics": figures}
    return [Route(path, answer) for path, answer in paths.items()]


def is_ready(engine: Engine) -> bool:
    """Whether a job would begin now, or after those before it."""
    return engine.status().state in READY


def metrics(engine: Engine) -> str:
    """In Prometheus' text format 0.0.4."""
    tally, status, memory = engine.tally(), engine.status(), engine.memory()
    ended = [(f'{{state="{state}"}}', getattr(tally, state)) for state in ("done", "failed", "cancelled")]
    tiers = [(f'{{tier="{tier.name}"}}', tier.used_bytes) for tier in memory.tiers]
    budgets = [(f'{{tier="{tier.name}"}}', tier.budget_bytes) for tier in memory.tiers]
    parts = [
        _metric("easel_ready", "gauge", "1 while jobs can run.", [("", int(is_ready(engine)))]),
        _metric("easel_jobs_waiting", "gauge", "Jobs that wait.", [("", status.waiting)]),
        _metric("easel_jobs_running", "gauge", "Jobs that run.", [("", int(status.state == "busy"))]),
        _metric("easel_jobs_total", "counter", "Jobs that ended, by how.", ended),
        _metric("easel_job_seconds_total", "counter", "Seconds that jobs ran.", [("", tally.seconds)]),
        _metric("easel_pictures_total", "counter", "Pictures saved.", [("", tally.pictures)]),
        _metric("easel_worker_deaths_total", "counter", "Workers that died.", [("", tally.worker_deaths)]),
        _metric("easel_model_bytes", "gauge", "Memory that models take.", tiers),
        _metric("easel_model_budget_bytes", "gauge", "Memory that models may take.", budgets),
    ]
    return "".join(parts)


def _metric(name: str, kind: str, about: str, samples: Sequence[tuple[str, float]]) -> str:
    lines = "".join(f"{name}{labels} {value:.10g}\n" for labels, value in samples)
    return f"# HELP {name} {about}\n# TYPE {name} {kind}\n{lines}" if samples else ""
