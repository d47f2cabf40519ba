"""Jobs and errors as JSON: what the HTTP API answers with."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from pipelines.engine.jobs import EVENT, Event, Failed, Finished, Job, JobState, Progress, Queued, Saved
from presets.errors import UserError
from tabs.http_problems import Problem


class _View(BaseModel):
    model_config = ConfigDict(frozen=True)


class PictureView(_View):
    """A picture of a job. Its request alone makes it again; timings in seconds."""

    index: int
    url: str = Field(description="Where the PNG file is, relative to this server.")
    file: str
    request: dict[str, Any]
    timings: dict[str, float]
    peak_memory: int | None = Field(description="Bytes in use at most: of the GPU, else of the process that draws.")
    warnings: tuple[str, ...]
    notes: tuple[str, ...]


class ProgressView(_View):
    """Step `step` of `steps` of picture `picture` of `pictures`, all from 1; seconds spent and left for it."""

    picture: int
    pictures: int
    step: int
    steps: int
    seconds: float
    remaining: float


class JobView(_View):
    """A job. Times in seconds since 1970; its timings in seconds."""

    id: str
    kind: str
    state: JobState
    kept: bool = Field(description="Whether it stays in the queue while nobody watches it.")
    created: float
    started: float | None
    ended: float | None
    position: int | None = Field(default=None, description="Of a waiting job; 1 is next.")
    seconds: float | None = Field(default=None, description="Until a waiting job begins, where that can be told.")
    progress: ProgressView | None = None
    request: dict[str, Any] = Field(description="As it was resolved: with the seed, size and names that are used.")
    pictures: tuple[PictureView, ...]
    warnings: tuple[str, ...]
    timings: dict[str, float] = {}
    error: Problem | None = None


class About(_View):
    """What this server is and can do."""

    name: Literal["Easel"] = "Easel"
    version: str
    state: str
    detail: str
    kinds: dict[str, str] = Field(description="Kinds of requests, with what each does.")
    samplers: tuple[str, ...]
    schedules: tuple[str, ...]
    waiting: int


class UnknownJob(UserError):
    code = "E-JOB-UNKNOWN"

    def __init__(self, identifier: str):
        super().__init__(f"You have no job {identifier[:40]!r}; jobs are known for a day after their end.")


def job_view(job: Job, place: Queued | None, base: str) -> JobView:
    """`place` is where it waits, if it does; `base` the path under which the API is mounted."""
    last = job.last_event
    return JobView(
        id=job.id,
        kind=job.request.kind,
        state=job.state,
        kept=job.kept,
        created=job.created,
        started=job.started,
        ended=job.ended,
        position=place.position if place else None,
        seconds=place.seconds if place else None,
        progress=ProgressView.model_validate(last.model_dump()) if isinstance(last, Progress) else None,
        request=job.request.model_dump(mode="json"),
        pictures=tuple(_picture(job, saved, base) for saved in job.saved),
        warnings=tuple(job.warnings),
        timings=last.timings if isinstance(last, Finished) else {},
        error=Problem.model_validate(last.model_dump()) if isinstance(last, Failed) else None,
    )


def event_view(job: Job, event: Event, base: str) -> dict[str, Any]:
    """An event as JSON; a saved picture as `PictureView`, not by its place on this machine's disk."""
    if isinstance(event, Saved):
        return {"type": "saved", **_picture(job, event, base).model_dump(mode="json")}
    return EVENT.dump_python(event, mode="json")


def picture_url(job: Job, index: int, base: str) -> str:
    return f"{base}/jobs/{job.id}/pictures/{index}"


def _picture(job: Job, saved: Saved, base: str) -> PictureView:
    return PictureView(
        index=saved.index,
        url=picture_url(job, saved.index, base),
        file=saved.path.name,
        request=saved.request.model_dump(mode="json"),
        timings=saved.timings,
        peak_memory=saved.peak_memory,
        warnings=saved.warnings,
        notes=saved.notes,
    )
