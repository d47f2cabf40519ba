"""An engine without a model, for tests of the faces: real jobs, events, threads and PNG files, no torch.

It stands on the one seam there is (`pipelines.engine.jobs.Engine`). A picture is one flat colour that follows from
the seed, so that the same request gives the same bytes.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from pipelines.engine.jobs import (
    ControlInfo,
    EngineStatus,
    Failed,
    Finished,
    Job,
    Loading,
    LoraInfo,
    MemoryReport,
    ModelInfo,
    PreprocessorInfo,
    Progress,
    Queued,
    Resident,
    Saved,
    Stopped,
    Tally,
    Tier,
    TokenCount,
    Warned,
)
from presets.errors import UserError
from presets.inputs import Inputs
from presets.installed import Checkpoint
from presets.preprocess_fields import Name
from presets.preprocessors import PREPROCESSORS
from presets.requests import AnyRequest
from presets.styles import Styles

STORYBOOK = ModelInfo(name="Storybook", family="sd1", native_size=(128, 128), size_bytes=40_000_000)


class FakeInventory:
    """Whatever is asked for is installed but weights of preprocessors; without a name it is `default`."""

    def __init__(self, default: ModelInfo):
        self._default = default

    def checkpoint(self, name: str, kind: str) -> Checkpoint:  # noqa: ARG002
        return Checkpoint(name or self._default.name, self._default.native_size, 8)

    def check_size(self, checkpoint: str, size: tuple[int, int]) -> None:
        pass

    def check_soft_mask(self, checkpoint: str) -> None:
        pass

    def vae(self, name: str, checkpoint: str) -> str:  # noqa: ARG002
        return name

    def upscaler(self, name: str) -> str:
        return name or "twice"

    def face_restorer(self, name: str) -> str:
        return name

    def check_preprocessor(self, name: Name) -> None:
        if PREPROCESSORS[name].weights:
            raise UserError(f"{name} needs weights.", code="E-PREPROCESSOR-MISSING", field="preprocessor")

    def loras(self, names: Sequence[str], checkpoint: str) -> Mapping[str, str]:  # noqa: ARG002
        return {name: name for name in names}

    def ip_adapters(self, names: Sequence[str], checkpoint: str) -> Mapping[str, str]:  # noqa: ARG002
        return {name: name or "manner" for name in names}

    def controls(self, names: Sequence[str], checkpoint: str) -> Mapping[str, str]:  # noqa: ARG002
        return {name: name or "outline" for name in names}


class FakeEngine:
    """Runs each job in a thread of its own and writes its pictures into `folder`.

    `refusal` is raised by `submit`; `failure` ends a job after its first step; `step_seconds` is slept in each step;
    while `gate` is given and not set, every step waits for it (a cancelled job does not). `unusable` is what
    `problems` answers, `adapters` what `loras` does, `followers` what `controls` does,
    `stylers` what `ip_adapters` does. A model is loaded at once when
    it is asked for; while `load_gate` is given and not set, it is still being loaded. `load_failure` is the notice of a
    load that fails. While it is `lent`, nothing is kept in memory.
    """

    def __init__(
        self,
        folder: Path,
        *,
        refusal: UserError | None = None,
        failure: UserError | None = None,
        step_seconds: float = 0.0,
        gate: threading.Event | None = None,
        checkpoints: Sequence[ModelInfo] = (STORYBOOK,),
    ):
        self.folder = folder
        self.inputs = Inputs(folder / "inputs")
        self.styles = Styles()
        self.refusal = refusal
        self.failure = failure
        self.step_seconds = step_seconds
        self.gate = gate
        self.checkpoints = tuple(checkpoints)
        self.adapters: tuple[LoraInfo, ...] = ()
        self.followers: tuple[ControlInfo, ...] = (ControlInfo(name="outline", family="sd1", kind="ControlNet"),)
        self.stylers: tuple[ControlInfo, ...] = (ControlInfo(name="manner", family="sd1", kind="IP-Adapter"),)
        self.unusable: tuple[str, ...] = ()
        self.submitted: list[Job] = []
        self.closed = False
        self._cancelled: set[str] = set()
        self.load_gate: threading.Event | None = None
        self.load_failure = ""
        self.lent = False
        self.loading: Loading | None = None
        self.notice = ""
        self.loaded: list[str] = []
        self.kept: set[str] = set()
        self.read: list[str] = []
        self.rescans = 0
        self.moved: list[str] = []

    def submit(self, request: AnyRequest, *, owner: str = "", kept: bool = True) -> Job:
        if self.refusal:
            raise self.refusal
        request = self.styles.applied(request).examined(self.inputs)
        job = Job(request.settled(FakeInventory(self.checkpoints[0])), self._cancel, owner=owner, kept=kept)
        job.put(Queued(position=1))
        self.submitted.append(job)
        for warning in job.request.warnings:
            job.put(Warned(message=warning))
        threading.Thread(target=self._run, args=(job,), daemon=True).start()
        return job

    def job(self, identifier: str) -> Job | None:
        return next((job for job in self.submitted if job.id == identifier), None)

    def jobs_of(self, owner: str) -> Sequence[Job]:
        return [job for job in reversed(self.submitted) if job.owner == owner]

    def places(self, owner: str) -> Mapping[str, Queued]:
        waiting = [job for job in self.submitted if not job.done][1:]
        return {job.id: Queued(position=place) for place, job in enumerate(waiting, start=1) if job.owner == owner}

    def move_up(self, job: Job) -> bool:
        self.moved.append(job.id)
        return True

    def keep_job(self, job: Job) -> None:
        job.kept = True

    def tally(self) -> Tally:
        return Tally(done=sum(job.done for job in self.submitted))

    def models(self) -> Sequence[ModelInfo]:
        return [self._described(model) for model in self.checkpoints]

    def _described(self, model: ModelInfo) -> ModelInfo:
        loaded = model.name in self.loaded
        changes = {"switch_seconds": 0.5, "residence": "ram"} if loaded else {}
        return model.model_copy(update={"kept": model.name in self.kept, **changes})

    def vaes(self) -> Sequence[str]:
        return ("sharp",)

    def loras(self) -> Sequence[LoraInfo]:
        return self.adapters

    def preprocessors(self) -> Sequence[PreprocessorInfo]:
        return [
            PreprocessorInfo(
                name=name,
                title=row.title,
                help=row.help,
                parameters=row.parameters,
                needs=row.weights.names if row.weights else (),
                repository=row.weights.repository if row.weights else "",
                is_here=row.weights is None,
            )
            for name, row in PREPROCESSORS.items()
        ]

    def ip_adapters(self) -> Sequence[ControlInfo]:
        return self.stylers

    def controls(self) -> Sequence[ControlInfo]:
        return self.followers

    def upscalers(self) -> Sequence[str]:
        return ("twice", "lanczos", "nearest")

    def face_restorers(self) -> Sequence[str]:
        return ("mender",)

    def problems(self) -> Sequence[str]:
        return self.unusable

    def count_tokens(self, checkpoint: str, prompt: str) -> TokenCount:  # noqa: ARG002
        tokens = len(prompt.split())
        return TokenCount(tokens=tokens, chunks=max(1, -(-tokens // 75)), chunk_size=75)

    def status(self) -> EngineStatus:
        working = sum(not job.done for job in self.submitted)
        state = "stopped" if self.closed else "busy" if working else "ready"
        waiting = max(0, working - 1)
        return EngineStatus(state=state, waiting=waiting, loading=self.loading, notice=self.notice)

    def memory(self) -> MemoryReport:
        sizes = {model.name: model.size_bytes for model in self.checkpoints}
        residents = tuple(
            Resident(name=name, tier="ram", bytes=sizes[name], switch_seconds=0.5, kept=name in self.kept)
            for name in self.loaded
        )
        used = Tier(name="ram", used_bytes=sum(sizes[name] for name in self.loaded), budget_bytes=100_000_000)
        return MemoryReport(lent=True) if self.lent else MemoryReport(tiers=(used,), residents=residents)

    def load(self, name: str) -> None:
        self._check(name)
        self.notice = self.load_failure
        if self.load_gate:
            self.loading = Loading(what=f"{name}: unet", fraction=0.25)
        elif not self.load_failure:
            self.loaded.append(name)

    def stop_loading(self) -> None:
        self.loading = None

    def keep(self, name: str, keep: bool) -> None:
        self._check(name)
        (self.kept.add if keep else self.kept.discard)(name)

    def unload(self, name: str) -> None:
        self._check(name)
        self.loaded.remove(name)
        self.kept.discard(name)

    def rescan(self) -> None:
        self.rescans += 1

    def read_ahead(self, name: str) -> None:
        self.read.append(name)

    def _check(self, name: str) -> None:
        if name not in [model.name for model in self.checkpoints]:
            raise UserError(f"No checkpoint is called {name!r}.", code="E-MODEL-MISSING")

    def close(self) -> None:
        self.closed = True
        for job in self.submitted:
            job.cancel()

    def _cancel(self, job: Job) -> None:
        self._cancelled.add(job.id)

    def _run(self, job: Job) -> None:
        job.started = time.time()
        job.put(Loading(what=job.request.checkpoint_used or job.request.title, fraction=0.5))
        for index in range(job.request.picture_count):
            for step in range(1, steps_of(job.request) + 1):
                if self._wait_is_cancelled(job):
                    return job.put(Stopped())
                job.put(self._progress(job.request, index, step))
                if self.failure:
                    problem = self.failure
                    return job.put(Failed(code=problem.code, message=problem.message, field=problem.field))
            job.put(self._save(job, index))
        return job.put(Finished(timings={"total": 0.5}))

    def _wait_is_cancelled(self, job: Job) -> bool:
        time.sleep(self.step_seconds)
        while self.gate and not self.gate.wait(0.01) and job.id not in self._cancelled:
            pass
        return job.id in self._cancelled

    def _progress(self, request: AnyRequest, index: int, step: int) -> Progress:
        seconds = step * self.step_seconds
        steps = steps_of(request)
        remaining = (steps - step) * self.step_seconds
        return Progress(
            picture=index + 1,
            pictures=request.picture_count,
            step=step,
            steps=steps,
            seconds=seconds,
            remaining=remaining,
        )

    def _save(self, job: Job, index: int) -> Saved:
        request = job.request.picture(index)
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{job.id}-{index}.png"
        colour = tuple(max(0, getattr(request, "seed", 0)).to_bytes(8, "little")[:3])
        Image.new("RGB", request.picture_size, colour).save(path)
        return Saved(index=index, path=path, request=request, timings={"total": 0.5}, warnings=tuple(job.warnings))


def steps_of(request: AnyRequest) -> int:
    return getattr(request, "steps", 2)
