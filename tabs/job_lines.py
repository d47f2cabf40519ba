"""What is told of a job, in sentences."""

from pipelines.engine.jobs import Engine, EngineStatus, Finished, Job, Progress, Queued, Stopped
from tabs.starting import starting_line


def waiting_line(engine: Engine, event: Queued) -> str:
    """What a job that has not begun waits for."""
    if event.detail:
        return event.detail
    status = engine.status()
    if status.loading:
        return f"Waiting while {status.loading.what} is loaded…"
    before = event.position - 1 + _is_behind_running_job(status, event)
    if before:
        soon = "" if event.seconds is None else f", about {event.seconds:.0f} s"
        return f"Waiting: {before} before this one{soon}"
    return starting_line(engine) or "Waiting for the worker…"


def _is_behind_running_job(status: EngineStatus, event: Queued) -> bool:
    """Whether the job that runs is another than the one of `event`: while this one waits, it is counted as waiting."""
    return status.state == "busy" and status.waiting >= event.position


def progress_line(event: Progress) -> str:
    """Such as "Picture 1 of 2 · step 7 of 20 · 1.2 s, about 2 s left"."""
    picture = f"Picture {event.picture} of {event.pictures} · " if event.pictures > 1 else ""
    left = f", about {event.remaining:.0f} s left" if event.remaining >= 0.5 else ""
    return f"{picture}step {event.step} of {event.steps} · {event.seconds:.1f} s{left}".capitalize()


def ending_line(job: Job, event: Finished | Stopped) -> str:
    made = len(job.saved)
    pictures = "1 picture" if made == 1 else f"{made} pictures"
    if isinstance(event, Stopped):
        return f"Cancelled. {pictures} kept." if made else "Cancelled."
    total = event.timings.get("total")
    return f"{pictures} in {total:.1f} s" if total else f"{pictures} made"


def notes_of(job: Job) -> list[str]:
    """What is told of the job's pictures, and what they carry as warnings, each once."""
    return list(dict.fromkeys(note for saved in job.saved for note in (*saved.notes, *saved.warnings)))
