"""What became of a request that was run from the command line."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.engine.jobs import Event, Finished, Job
from presets.errors import UserError


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one request: the exit code, why it came to nothing, and the job with its pictures' paths where
    there was one."""

    code: int
    problem: UserError | None = None
    job: Job | None = None
    paths: Sequence[Path] = ()
    last: Event | None = None


def report(outcome: Outcome) -> dict[str, Any]:
    """For programs."""
    if outcome.job is None:
        return {"problem": str(outcome.problem)}
    pictures = [
        {
            "path": str(path),
            "request": saved.request.model_dump(mode="json"),
            "timings": saved.timings,
            "peak_memory": saved.peak_memory,
            "warnings": list(saved.warnings),
            "notes": list(saved.notes),
        }
        for path, saved in zip(outcome.paths, outcome.job.saved, strict=False)
    ]
    return {
        "request": outcome.job.request.model_dump(mode="json"),
        "pictures": pictures,
        "timings": outcome.last.timings if isinstance(outcome.last, Finished) else {},
    }
