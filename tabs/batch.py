"""Several pictures at once: a form's request for each, run as jobs that are shown one after the other."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.engine.errors import Busy, TooManyJobs
from pipelines.engine.jobs import Engine, Failed, Job
from presets.errors import UserError
from tabs import markup
from tabs.batch_form import BatchForm
from tabs.submitting import submit

NAME_SHOWN = 60
PROBLEMS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Step:
    """What is done of a batch now: `job` runs, or the next picture is read. `line` says of which, `share` how far it
    is."""

    line: str
    share: float
    job: Job | None = None


class Batch:
    """One press of the button with several files. `problems` are sentences on those that came to nothing."""

    def __init__(self, engine: Engine, form: BatchForm, values: Sequence[Any], owner: str):
        self.problems: list[str] = []
        self.jobs: list[Job] = []
        self._engine = engine
        self._form = form
        self._values = values
        self._owner = owner
        self._rest = deque(enumerate(form.files_in(values), start=1))
        self._count = len(self._rest)
        self._begun = deque[tuple[int, str, Job]]()
        self._is_full = False

    async def steps(self) -> AsyncGenerator[Step, None]:
        """Each job that is to be shown to its end. All are in the line as soon as it takes them, and count as watched.

        Where one was cancelled no more are begun.
        """
        async with AsyncExitStack() as watched:
            while self._rest or self._begun:
                while self._rest and not self._is_full:
                    number, file = self._rest[0]
                    yield Step(f"Reading {_name(file)}…", self._share(number))
                    await self._begin(number, file, watched)
                self._is_full = False
                if self._begun:
                    number, name, job = self._begun.popleft()
                    yield Step(f"{name}, {number} of {self._count} · ", self._share(number), job)
                    self._note(name, job)

    async def _begin(self, number: int, file: Mapping[str, Any], watched: AsyncExitStack) -> None:
        """Have a file's job in the line, unless that is full and one of ours will make room."""
        try:
            request = await asyncio.to_thread(self._form.request_for, self._values, file)
            job = await submit(self._engine, request, owner=self._owner, kept=False)
        except UserError as problem:
            self._is_full = bool(self._begun) and isinstance(problem, Busy | TooManyJobs)
            if self._is_full:
                return
            self.problems.append(f"{_name(file)}: {problem}")
        else:
            self.jobs.append(job)
            self._begun.append((number, _name(file), job))
            await _watch(job, watched)
        self._rest.popleft()

    def _share(self, number: int) -> float:
        return (number - 1) / self._count

    def _note(self, name: str, job: Job) -> None:
        if isinstance(job.last_event, Failed):
            self.problems.append(f"{name}: {job.last_event.message} [{job.last_event.code}]")
        if job.state == "cancelled":
            self._rest.clear()

    @property
    def ending(self) -> str:
        """What became of it all, as HTML."""
        made = sum(len(job.saved) for job in self.jobs)
        cancelled = "Cancelled. " if any(job.state == "cancelled" for job in self.jobs) else ""
        line = f"{cancelled}{made} {'picture' if made == 1 else 'pictures'} of {self._count} files"
        told = self.problems[:PROBLEMS_SHOWN]
        if len(self.problems) > PROBLEMS_SHOWN:
            told.append(f"… and {len(self.problems) - PROBLEMS_SHOWN} more")
        return markup.notice(line, told) if made or not told else "".join(map(markup.error, told))


async def _watch(job: Job, stack: AsyncExitStack) -> None:
    """Have `job` count as watched until `stack` is left."""
    stream = job.stream()
    await anext(stream)
    stack.push_async_callback(stream.aclose)


def _name(file: Mapping[str, Any]) -> str:
    name = str(file.get("orig_name") or Path(str(file.get("path"))).name)
    return name if len(name) <= NAME_SHOWN else f"{name[: NAME_SHOWN - 1]}…"
