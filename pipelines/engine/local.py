"""LocalEngine: the queue of this machine and the supervised worker that draws."""

import logging
import multiprocessing
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Literal

from pipelines.engine.allowance import HOUR, Allowance
from pipelines.engine.annotators import Annotators
from pipelines.engine.batches import Batches
from pipelines.engine.catalog import STARTER_NAME, catalog_of
from pipelines.engine.control_files import ControlFiles
from pipelines.engine.costs import Costs
from pipelines.engine.errors import Busy, GpuTaken, NothingKept, TooManyJobs, WorkerDied
from pipelines.engine.face_restorer_files import FaceRestorerFiles
from pipelines.engine.hashes import Hashes
from pipelines.engine.inventory import Inventory
from pipelines.engine.ip_adapter_files import IpAdapterFiles
from pipelines.engine.jobs import (
    EVENT,
    ControlInfo,
    EngineStatus,
    Event,
    Job,
    Loading,
    LoraInfo,
    MemoryReport,
    ModelInfo,
    PreprocessorInfo,
    Queued,
    Tally,
    TokenCount,
)
from pipelines.engine.ledger import Ledger
from pipelines.engine.link import Link
from pipelines.engine.lora_files import LoraFiles
from pipelines.engine.model import Model
from pipelines.engine.motion_files import MotionFiles
from pipelines.engine.residency import Command, Residency
from pipelines.engine.store import JobNotWritten, JobStore
from pipelines.engine.tokens import TokenCounter
from pipelines.engine.upscaler_files import UpscalerFiles
from pipelines.engine.zero import Lender, guessed_seconds
from presets.errors import UserError
from presets.gallery import Gallery
from presets.infotext import lora_key
from presets.inputs import Inputs
from presets.requests import AnyRequest, drawing_of
from presets.settings import Settings
from presets.styles import Styles

_log = logging.getLogger("easel.engine")

CLOSE_SECONDS = 5
"""A worker that has not left by then is killed."""

BEING_CLOSED = "The program is being closed."
CLOSING = "The program is being closed; the job did not run to its end."
CLOSING_DURABLE = "The program is being closed; the job goes on when it is started again."

START_ATTEMPTS = 3
"""Times in a row that a worker may die before it was ready, until the engine gives up."""

TICK_SECONDS = 2.0
"""Between looks at what only time changes: jobs that nobody waits for, places, estimates."""

State = Literal["starting", "ready", "restarting", "stopped"]


STARTER_NOTE = (
    "Storybook is the small model that ships with Easel: 128 x 128 picture-book scenes and nothing else. "
    "For more, put Stable Diffusion checkpoints into {folder} or type a Hugging Face Hub id."
)


class LocalEngine:
    """An `Engine` (see jobs.py) with one worker: a process of its own, a thread with `settings.in_process`, or GPUs
    that are lent for each job (see zero.py).

    `start()` returns at once; jobs may be submitted before the worker is ready. One supervisor thread owns the
    worker: it hands out jobs, passes events on, and replaces a worker that died.
    """

    def __init__(
        self,
        settings: Settings,
        runners: str = "pipelines.runners:RUNNERS",
        store: JobStore | None = None,
        lender: Lender | None = None,
    ):
        """Jobs are written down in `store`, and those that it holds are taken up; without one they end with the
        program. With a `lender` they are drawn on GPUs that it lends."""
        self.inputs = Inputs(settings.inputs)
        self.styles = Styles(settings.presets / "styles.toml")
        self._settings = settings
        self._catalog = catalog_of(settings)
        self._loras = LoraFiles(self._catalog)
        self._controls = ControlFiles(self._catalog)
        self._upscalers = UpscalerFiles(self._catalog)
        self._face_restorers = FaceRestorerFiles(self._catalog)
        self._annotators = Annotators(settings.model_roots, offline=settings.offline)
        self._ip_adapters = IpAdapterFiles(self._catalog)
        self._motions = MotionFiles(self._catalog)
        beside = (self._upscalers, self._face_restorers, self._annotators, self._ip_adapters, self._motions)
        files = (self._catalog, self._loras, self._controls, *beside)
        self._inventory = partial(Inventory, *files, settings.pixel_limit, fetch=settings.manage_models)
        self._token_counters: dict[Path, TokenCounter] = {}
        self._lock = threading.RLock()
        self._state: State = "starting"
        self._detail = "Loading PyTorch and diffusers…"
        store = store or JobStore()
        self._lender = lender
        self._ledger = Ledger(store, Costs(guessed_seconds if lender else None))
        self._ledger.restore(self._cancel, self._detail)
        self._gallery = Gallery(settings.pictures)
        self._allowance = Allowance(settings.work_limit)
        self._allowance.take_up(store.begun_since(time.time() - HOUR))
        self._failed_starts = 0
        self._ended: UserError | None = None
        self._residency = Residency()
        self._batches = Batches(1 if lender else settings.batch_limit)
        self._together: dict[str, tuple[AnyRequest, int]] = {}
        """What was handed out to be drawn at once, by its first job."""
        self._hashes = Hashes(settings.home / "hashes.json", self._catalog.list, self._is_idle, self._loras.paths)
        self._closing = False
        self._closing_until = 0.0
        self._next_tick = 0.0
        self._wake_reader, self._wake_writer = multiprocessing.Pipe(duplex=False)
        self._woken = threading.Event()
        self._link = Link(settings, runners, lender)
        self._supervisor = threading.Thread(target=self._supervise, name="easel-supervisor", daemon=True)

    def start(self) -> "LocalEngine":
        """Start the worker. Call once."""
        self._supervisor.start()
        self._hashes.start()
        return self

    # What faces call

    def submit(self, request: AnyRequest, *, owner: str = "", kept: bool = True) -> Job:
        resolved = self._resolve(request)
        job = Job(resolved, self._cancel, owner=owner, kept=kept)
        job.visitor = self._lender.visitor() if self._lender else {}
        with self._lock:
            self._check_room(owner)
            self._allowance.spend(job)
            warnings = dict.fromkeys((*request.warnings, *resolved.warnings))
            written = self._ledger.accept(job, "" if self._state == "ready" else self._detail, warnings)
            if self._ledger.current is not None and len(self._ledger.line) == 1:
                self._read_next_ahead()
        self._wake()
        try:
            written.result()  # the worker may begin meanwhile
        except JobNotWritten:
            job.cancel()
            raise
        return job

    def _check_room(self, owner: str) -> None:
        """Raise where no more jobs are taken, from all or from `owner`."""
        line, settings = self._ledger.line, self._settings
        if self._closing:
            raise self._closed()
        if self._ended is not None:
            raise self._ended.with_traceback(None)
        if len(line) >= settings.queue_limit:
            raise Busy(f"{len(line)} jobs are waiting, which is the limit. Try again in a minute.")
        if owner and line.waiting_of(owner) >= settings.user_limit:
            raise TooManyJobs(f"{line.waiting_of(owner)} of your jobs wait, which is the limit. Try again in a while.")

    def job(self, identifier: str) -> Job | None:
        return self._ledger.find(identifier)

    def jobs_of(self, owner: str) -> Sequence[Job]:
        return self._ledger.of(owner)

    def places(self, owner: str) -> Mapping[str, Queued]:
        with self._lock:
            return self._ledger.places(owner)

    def move_up(self, job: Job) -> bool:
        with self._lock:
            return self._ledger.move_up(job)

    def keep_job(self, job: Job) -> None:
        with self._lock:
            self._ledger.keep(job)

    def tally(self) -> Tally:
        with self._lock:
            return self._ledger.tally

    def models(self) -> Sequence[ModelInfo]:
        first: dict[str, str] = {}
        infos = []
        for model in (*self._catalog.list(), *self._loaded_from_elsewhere()):
            info = self._info(model)
            original = first.setdefault(info.sha256, info.name) if info.sha256 else info.name
            infos.append(info.model_copy(update={"duplicate_of": "" if original == info.name else original}))
        if not all(info.sha256 for info in infos):
            self._hashes.look_again()
        return infos

    def _loaded_from_elsewhere(self) -> Iterator[Model]:
        """Models in memory that are in no folder of the catalog's: those of the Hub."""
        for resident in self.memory().residents:
            with suppress(UserError):
                model = self._catalog.find(resident.name)
                if model.layout == "hub":
                    yield model

    def _info(self, model: Model) -> ModelInfo:
        folder = self._settings.model_roots[0] / "checkpoints"
        info = model.info()
        note = STARTER_NOTE.format(folder=folder) if model.name == STARTER_NAME else info.note
        info = info.model_copy(update={"note": note, "sha256": self._hashes.of(model)})
        with self._lock:
            return self._residency.described(info)

    def vaes(self) -> Sequence[str]:
        return [file.name for file in self._catalog.vaes()]

    def loras(self) -> Sequence[LoraInfo]:
        infos = []
        for info in self._loras.list():
            made = self._hashes.of_lora(info.name)
            infos.append(info.model_copy(update={"hashes": tuple(dict.fromkeys((*info.hashes, *made)))}))
            if not made and not info.problem:
                self._hashes.look_again()
        return infos

    def preprocessors(self) -> Sequence[PreprocessorInfo]:
        return self._annotators.list()

    def controls(self) -> Sequence[ControlInfo]:
        return self._controls.list()

    def ip_adapters(self) -> Sequence[ControlInfo]:
        return self._ip_adapters.list()

    def motion_modules(self) -> Sequence[ControlInfo]:
        return self._motions.list()

    def upscalers(self) -> Sequence[str]:
        return self._upscalers.names()

    def face_restorers(self) -> Sequence[str]:
        return self._face_restorers.names()

    def problems(self) -> Sequence[str]:
        return [f"{problem.path.name}: {problem.sentence}" for problem in self._catalog.problems()]

    def count_tokens(self, checkpoint: str, prompt: str) -> TokenCount:
        folder = self._catalog.find(checkpoint).tokenizer_folder
        if folder not in self._token_counters:
            self._token_counters[folder] = TokenCounter(folder)
        return self._token_counters[folder].count(prompt)

    def status(self) -> EngineStatus:
        with self._lock:
            if self._closing:
                return EngineStatus(state="stopped", detail=BEING_CLOSED, waiting=len(self._ledger.line))
            busy = self._state == "ready" and self._ledger.current is not None
            loading = self._residency.loading
            return EngineStatus(
                state="busy" if busy else self._state,
                detail=loading.line if loading else self._detail,
                waiting=len(self._ledger.line),
                loading=loading,
                notice=self._residency.notice,
                hashing=self._hashes.hashing,
            )

    def memory(self) -> MemoryReport:
        with self._lock:
            return self._residency.memory

    def load(self, name: str) -> None:
        self._ask(Command("load", self._catalog.find(name).name))

    def stop_loading(self) -> None:
        with self._lock:
            going_on = self._residency.stop_loading()
            if going_on:
                self._link.send({"do": "cancel", "job": going_on})

    def keep(self, name: str, keep: bool) -> None:
        self._ask(Command("keep", self._catalog.find(name).name, keep))

    def unload(self, name: str) -> None:
        if name not in {resident.name for resident in self.memory().residents}:  # else its files may be gone
            name = self._catalog.find(name).name
        with self._lock:
            if self._residency.is_kept(name):
                self._residency.ask(Command("keep", name, keep=False))
        self._ask(Command("unload", name))

    def _ask(self, command: Command) -> None:
        if self._lender:
            raise NothingKept
        with self._lock:
            if self._ended is not None:
                raise self._ended.with_traceback(None)
            self._residency.ask(command)
        self._wake()

    def rescan(self) -> None:
        self._hashes.look_again()

    def read_ahead(self, name: str) -> None:
        with suppress(UserError):
            model = self._catalog.find(name)
            with self._lock:
                if model.path is not None and self._state == "ready" and not self._lender:
                    self._link.send({"do": "read_ahead", "model": model.name})

    def close(self, grace: float = 0.0) -> None:
        """End the worker; the job that runs has `grace` seconds to come to its end, and no other begins. Can be called
        once more meanwhile, with less."""
        self._hashes.close()
        with self._lock:
            self._closing, self._closing_until = True, time.monotonic() + grace
        self._wake()
        if self._supervisor.is_alive():
            self._supervisor.join(timeout=grace + 10)
        elif self._supervisor.ident is None:  # never started: nobody else would tell those who wait
            self._shut_down()

    # Before the queue

    def _resolve(self, request: AnyRequest) -> AnyRequest:
        return self.styles.applied(request).examined(self.inputs).settled(self._inventory())

    def _cancel(self, job: Job) -> None:
        with self._lock:
            if job.started is None:
                self._allowance.give_back(job)
            if self._ledger.cancel(job):
                self._link.send({"do": "cancel", "job": job.id})

    # The supervisor thread

    def _wake(self) -> None:
        if not self._woken.is_set():  # a pipe takes only so much that nobody reads
            self._woken.set()
            self._wake_writer.send_bytes(b"!")

    def _supervise(self) -> None:
        try:
            while not self._closing or self._lets_finish():
                self._supervise_once()
        finally:
            self._shut_down()

    def _lets_finish(self) -> bool:
        """Whether a job runs, for which the program that is being closed still waits."""
        with self._lock:
            return self._ledger.current is not None and time.monotonic() < self._closing_until

    def _supervise_once(self) -> None:
        if self._link.connection is None and self._ended is None:
            try:
                self._link.start()
            except OSError as error:
                self._give_up(Busy(f"The engine is stopped: no worker could be started ({error})."))
        self._hand_out()
        connection = self._link.connection
        for source in wait([self._wake_reader] + ([connection] if connection else []), timeout=self._tick_seconds()):
            if source is connection:
                self._receive()
            else:
                while self._wake_reader.poll():
                    self._wake_reader.recv_bytes()
                self._woken.clear()
        self._tick()

    def _tick_seconds(self) -> float:
        left = self._closing_until - time.monotonic() if self._closing else TICK_SECONDS
        return max(0.0, min(TICK_SECONDS, left))

    def _tick(self) -> None:
        if time.monotonic() < self._next_tick:
            return
        self._next_tick = time.monotonic() + TICK_SECONDS
        settings = self._settings
        with self._lock:
            for job in self._ledger.left_for(settings.patience, also_running=settings.left_jobs == "cancel"):
                self._cancel(job)
            self._ledger.tell_places(limit=None)
        self._ledger.forget()

    def _hand_out(self) -> None:
        """Give an idle worker something to do: a command about a model, else the next job."""
        with self._lock:
            if self._closing or self._ledger.current is not None or self._residency.is_busy or self._state != "ready":
                return
            command = self._residency.next()
            if command is not None:
                self._link.send(command.message())
                return
            jobs = self._ledger.take(self._residency.names_at_hand, self._batches.number_for)
            if not jobs:
                return
            self._ledger.tell_places()
            if self._ledger.may_have_saved(jobs[0]):
                self._ledger.find_saved(jobs[0], self._gallery)
            self._link.send(self._run_message(jobs[0]) if len(jobs) == 1 else self._batch_message(jobs))
            self._read_next_ahead()

    def _batch_message(self, jobs: Sequence[Job]) -> dict[str, object]:
        self._together[jobs[0].id] = jobs[0].request, len(jobs)
        return {
            "do": "run_together",
            "job": jobs[0].id,
            "runs": [self._run_message(job) for job in jobs],
            "trial": not self._batches.is_tried(jobs[0].request, len(jobs)),
        }

    def _run_message(self, job: Job) -> dict[str, object]:
        return {
            "do": "run",
            "job": job.id,
            "mark": job.mark,
            "request": job.request.model_dump(mode="json"),
            "warnings": job.warnings,
            "hashes": self._hashes_of(job.request),
            "first": len(job.saved),
            "waited": (job.started or job.created) - job.created,
            "owner": job.owner,
            **({"terms": self._terms(job)} if self._lender else {}),
        }

    def _terms(self, job: Job) -> dict[str, object]:
        """By which a GPU is lent for the pictures that the job still lacks."""
        missing = 1 - len(job.saved) / job.request.picture_count
        drawing = (self._ledger.expected(job) or 0.0) * missing
        return {"drawing": drawing, "checkpoint": job.request.checkpoint_used, "visitor": dict(job.visitor)}

    def _hashes_of(self, request: AnyRequest) -> dict[str, str]:
        """Those known of the files that a request takes; of a LoRA the one that A1111 goes by."""
        checkpoint = self._hashes.of_checkpoint(request.checkpoint_used) if request.checkpoint_used else ""
        drawing = drawing_of(request)
        names = {lora.name for lora in drawing.all_loras} if drawing else set()
        found = {"checkpoint": checkpoint} | {lora_key(name): self._lora_hash(name) for name in sorted(names)}
        return {name: digits for name, digits in found.items() if digits}

    def _lora_hash(self, name: str) -> str:
        with suppress(UserError):
            return next(iter((*self._loras.find(name).hashes, *self._hashes.of_lora(name))), "")
        return ""

    def _read_next_ahead(self) -> None:
        """Have the checkpoint of the next job read while another one's draws."""
        following, current = next(iter(self._ledger.line), None), self._ledger.current
        if not following or not current or self._lender:
            return
        name = following.request.checkpoint_used
        if name and name != current.request.checkpoint_used:
            self._link.send({"do": "read_ahead", "model": name})

    def _is_idle(self) -> bool:
        """Whether nobody waits for the worker."""
        with self._lock:
            at_work = self._ledger.current is not None or self._residency.is_busy or len(self._ledger.line)
            return self._state in ("ready", "stopped") and not at_work

    def _receive(self) -> None:
        message = self._link.receive()
        if message is None:
            self._worker_died()
        elif "refused" in message:
            self._give_up(UserError(message["refused"], code=message["code"]))
        elif "ready" in message:
            with self._lock:
                self._state, self._detail, self._failed_starts = "ready", message["ready"], 0
            self._hashes.look_again()
        elif "event" in message:
            self._pass_on(message["job"], EVENT.validate_python(message["event"]))
        else:
            self._note(message)

    def _note(self, message: Mapping[str, Any]) -> None:
        """Take what the worker tells of its models."""
        with self._lock:
            if "lost" in message:
                self._ledger.put_back(GpuTaken(message["lost"]), "ZeroGPU ended this job; it is begun once more.")
            elif "memory" in message:
                self._residency.report(message["memory"])
            elif "pays" in message:
                self._note_batch(message["job"], message["pays"])
            elif "loading" in message:
                self._residency.loading = Loading.model_validate(message["loading"])
            else:
                self._residency.ended(message["notice"])

    def _note_batch(self, first: str, pays: bool | None) -> None:
        request, number = self._together.pop(first)
        if pays is not None:
            self._batches.note(request, number, pays=pays)

    def _pass_on(self, identifier: str, event: Event) -> None:
        with self._lock:
            job = self._ledger.running.get(identifier)
            if job is not None:
                self._ledger.put(job, event)

    def _worker_died(self) -> None:
        with self._lock:
            exit_code = self._link.hang_up()
            _log.error("The worker process ended (exit code %s)", exit_code)
            self._failed_starts += self._state != "ready"
            self._gallery = Gallery(self._settings.pictures)  # which looks for files that the dead one did not list
            self._residency.worker_died()
            self._together.clear()
            self._state, self._detail = "restarting", "The worker is being restarted…"
            self._ledger.put_back(WorkerDied(exit_code), "The worker stopped during this job; it is begun once more.")
        if self._failed_starts >= START_ATTEMPTS:
            reason = f"the worker could not be started (exit code {exit_code}); see the program's output"
            self._give_up(Busy(f"The engine is stopped: {reason}."))

    def _give_up(self, reason: UserError) -> None:
        """No more attempts to start a worker: all jobs, now and later, fail with `reason`; those that are written down
        only until the next start."""
        with self._lock:
            self._ended, self._state, self._detail = reason, "stopped", reason.message
            self._link.connection = None
            self._residency.worker_died()
            if self._ledger.is_durable:
                self._ledger.suspend(reason)
            else:
                self._ledger.fail_all(reason)

    def _shut_down(self) -> None:
        self._link.send({"do": "close"})
        patience = CLOSE_SECONDS if self._state == "ready" else 0  # one that still imports hears nothing
        self._give_up(self._closed())
        self._link.end(patience)
        self._ledger.close()

    def _closed(self) -> UserError:
        return Busy(CLOSING_DURABLE if self._ledger.is_durable else CLOSING)
