"""LocalEngine: the queue of this machine and the supervised worker that draws."""

import json
import logging
import multiprocessing
import threading
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Literal

from pipelines.engine import worker
from pipelines.engine.annotators import Annotators
from pipelines.engine.catalog import STARTER_NAME, catalog_of
from pipelines.engine.control_files import ControlFiles
from pipelines.engine.errors import Busy, WorkerDied
from pipelines.engine.hashes import Hashes
from pipelines.engine.inventory import Inventory
from pipelines.engine.jobs import (
    EVENT,
    LAST_EVENTS,
    ControlInfo,
    EngineStatus,
    Event,
    Failed,
    Job,
    Loading,
    LoraInfo,
    MemoryReport,
    ModelInfo,
    PreprocessorInfo,
    Queued,
    Stopped,
    TokenCount,
    Warned,
)
from pipelines.engine.lora_files import LoraFiles
from pipelines.engine.model import Model
from pipelines.engine.residency import Command, Residency
from pipelines.engine.tokens import TokenCounter
from pipelines.engine.upscaler_files import UpscalerFiles
from presets.errors import UserError
from presets.inputs import Inputs
from presets.requests import AnyRequest
from presets.settings import Settings
from presets.styles import Styles

_log = logging.getLogger("easel.engine")

KEPT_JOBS = 200
"""Ended jobs that can still be asked for by id."""

CLOSE_SECONDS = 5
"""A worker that has not left by then is killed."""

START_ATTEMPTS = 3
"""Times in a row that a worker may die before it was ready, until the engine gives up."""

State = Literal["starting", "ready", "restarting", "stopped"]


STARTER_NOTE = (
    "Storybook is the small model that ships with Easel: 128 x 128 picture-book scenes and nothing else. "
    "For more, put Stable Diffusion checkpoints into {folder} or type a Hugging Face Hub id."
)


class LocalEngine:
    """An `Engine` (see jobs.py) with one worker: a process of its own, or a thread with `settings.in_process`.

    `start()` returns at once; jobs may be submitted before the worker is ready. One supervisor thread owns the
    worker: it hands out jobs, passes events on, and replaces a worker that died.
    """

    def __init__(self, settings: Settings, runners: str = "pipelines.runners:RUNNERS"):
        self.inputs = Inputs(settings.inputs)
        self.styles = Styles(settings.presets / "styles.toml")
        self._settings = settings
        self._runners = runners
        self._catalog = catalog_of(settings)
        self._loras = LoraFiles(self._catalog)
        self._controls = ControlFiles(self._catalog)
        self._upscalers = UpscalerFiles(self._catalog)
        self._annotators = Annotators(settings.model_roots, offline=settings.offline)
        files = (self._loras, self._controls, self._upscalers, self._annotators)
        self._inventory = Inventory(self._catalog, *files, settings.pixel_limit)
        self._token_counters: dict[Path, TokenCounter] = {}
        self._lock = threading.RLock()
        self._waiting: deque[Job] = deque()
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._current: Job | None = None
        self._state: State = "starting"
        self._detail = "Loading PyTorch and diffusers…"
        self._failed_starts = 0
        self._ended: UserError | None = None
        self._residency = Residency()
        self._hashes = Hashes(settings.home / "hashes.json", self._catalog.list, self._is_idle)
        self._closing = False
        self._wake_reader, self._wake_writer = multiprocessing.Pipe(duplex=False)
        self._connection: Connection | None = None
        self._process: BaseProcess | None = None
        self._supervisor = threading.Thread(target=self._supervise, name="easel-supervisor", daemon=True)

    def start(self) -> "LocalEngine":
        """Start the worker. Call once."""
        self._supervisor.start()
        self._hashes.start()
        return self

    # What faces call

    def submit(self, request: AnyRequest) -> Job:
        resolved = self._resolve(request)
        job = Job(resolved, self._cancel)
        with self._lock:
            if self._ended is not None:
                raise self._ended.with_traceback(None)
            if len(self._waiting) >= self._settings.queue_limit:
                raise Busy(f"{len(self._waiting)} jobs are waiting, which is the limit. Try again in a minute.")
            self._jobs[job.id] = job
            self._forget_oldest()
            self._waiting.append(job)
            job.put(Queued(position=len(self._waiting), detail="" if self._state == "ready" else self._detail))
            for warning in dict.fromkeys((*request.warnings, *resolved.warnings)):
                job.put(Warned(message=warning))
            if self._current is not None and len(self._waiting) == 1:
                self._read_next_ahead()
        self._wake()
        return job

    def job(self, identifier: str) -> Job | None:
        return self._jobs.get(identifier)

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
        return self._loras.list()

    def preprocessors(self) -> Sequence[PreprocessorInfo]:
        return self._annotators.list()

    def controls(self) -> Sequence[ControlInfo]:
        return self._controls.list()

    def upscalers(self) -> Sequence[str]:
        return self._upscalers.names()

    def problems(self) -> Sequence[str]:
        return [f"{problem.path.name}: {problem.sentence}" for problem in self._catalog.problems()]

    def count_tokens(self, checkpoint: str, prompt: str) -> TokenCount:
        folder = self._catalog.find(checkpoint).tokenizer_folder
        if folder not in self._token_counters:
            self._token_counters[folder] = TokenCounter(folder)
        return self._token_counters[folder].count(prompt)

    def status(self) -> EngineStatus:
        with self._lock:
            busy = self._state == "ready" and self._current is not None
            loading = self._residency.loading
            return EngineStatus(
                state="busy" if busy else self._state,
                detail=f"Loading {loading.what}…" if loading else self._detail,
                waiting=len(self._waiting),
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
                self._send({"do": "cancel", "job": going_on})

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
                if model.path is not None and self._state == "ready":
                    self._send({"do": "read_ahead", "model": model.name})

    def close(self) -> None:
        self._hashes.close()
        with self._lock:
            self._closing = True
        self._wake()
        if self._supervisor.is_alive():
            self._supervisor.join(timeout=10)

    # Before the queue

    def _resolve(self, request: AnyRequest) -> AnyRequest:
        return self.styles.applied(request).examined(self.inputs).settled(self._inventory)

    def _cancel(self, job: Job) -> None:
        with self._lock:
            if job in self._waiting:
                self._waiting.remove(job)
                job.put(Stopped())
                self._tell_positions()
            elif job is self._current and self._connection is not None:
                self._send({"do": "cancel", "job": job.id})

    def _forget_oldest(self) -> None:
        ended = [identifier for identifier, job in self._jobs.items() if job.done]
        for identifier in ended[: max(0, len(self._jobs) - KEPT_JOBS)]:
            del self._jobs[identifier]

    def _tell_positions(self) -> None:
        """Tell waiting jobs their new places: each of the first ten, then only round numbers."""
        for position, job in enumerate(self._waiting, start=1):
            if position <= 10 or (position <= 100 and position % 10 == 0) or position % 100 == 0:
                job.put(Queued(position=position))

    # The supervisor thread

    def _wake(self) -> None:
        self._wake_writer.send_bytes(b"!")

    def _supervise(self) -> None:
        try:
            while not self._closing:
                self._supervise_once()
        finally:
            self._shut_down()

    def _supervise_once(self) -> None:
        if self._connection is None and self._ended is None:
            try:
                self._start_worker()
            except OSError as error:
                self._give_up(Busy(f"The engine is stopped: no worker could be started ({error})."))
        self._hand_out()
        sources = [self._wake_reader] + ([self._connection] if self._connection else [])
        for source in wait(sources):
            if source is self._connection:
                self._receive()
            else:
                while self._wake_reader.poll():
                    self._wake_reader.recv_bytes()

    def _start_worker(self) -> None:
        here, there = multiprocessing.Pipe()
        arguments = (there, self._settings, self._runners)
        if self._settings.in_process:
            threading.Thread(target=worker.thread_main, args=arguments, name="easel-worker", daemon=True).start()
        else:
            spawn = multiprocessing.get_context("spawn")
            self._process = spawn.Process(target=worker.process_main, args=arguments, name="easel-worker", daemon=True)
            self._process.start()
            there.close()
        with self._lock:
            self._connection = here

    def _hand_out(self) -> None:
        """Give an idle worker something to do: a command about a model, else the next job."""
        with self._lock:
            if self._current is not None or self._residency.is_busy or self._state != "ready":
                return
            command = self._residency.next()
            if command is not None:
                self._send(command.message())
            elif self._waiting:
                self._current = job = self._waiting.popleft()
                self._tell_positions()
                self._send(self._run_message(job))
                self._read_next_ahead()

    def _run_message(self, job: Job) -> dict[str, object]:
        checkpoint = self._hashes.of_checkpoint(name) if (name := job.request.checkpoint_used) else ""
        return {
            "do": "run",
            "job": job.id,
            "request": job.request.model_dump(mode="json"),
            "warnings": job.warnings,
            "hashes": {"checkpoint": checkpoint} if checkpoint else {},
        }

    def _read_next_ahead(self) -> None:
        """Have the checkpoint of the next job read while another one's draws."""
        if not self._waiting or not self._current:
            return
        name = self._waiting[0].request.checkpoint_used
        if name and name != self._current.request.checkpoint_used:
            self._send({"do": "read_ahead", "model": name})

    def _is_idle(self) -> bool:
        """Whether nobody waits for the worker."""
        with self._lock:
            at_work = self._current is not None or self._residency.is_busy or self._waiting
            return self._state in ("ready", "stopped") and not at_work

    def _send(self, message: dict[str, object]) -> None:
        with self._lock:
            try:
                if self._connection is not None:
                    self._connection.send_bytes(json.dumps(message).encode())
            except OSError:
                _log.debug("The worker is gone; the supervisor will notice")

    def _receive(self) -> None:
        assert self._connection is not None
        try:
            message = json.loads(self._connection.recv_bytes())
        except (EOFError, OSError):
            self._worker_died()
            return
        if "ended" in message:
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
            if "memory" in message:
                self._residency.report(message["memory"])
            elif "loading" in message:
                self._residency.loading = Loading.model_validate(message["loading"])
            else:
                self._residency.ended(message["notice"])

    def _pass_on(self, identifier: str, event: Event) -> None:
        job = self._jobs.get(identifier)
        with self._lock:
            if isinstance(event, LAST_EVENTS):
                self._current = None
        if job is not None:
            job.put(event)

    def _worker_died(self) -> None:
        exit_code = self._exit_code()
        _log.error("The worker process ended (exit code %s)", exit_code)
        with self._lock:
            died_early = self._state != "ready"
            self._failed_starts += died_early
            self._connection = None
            job, self._current = self._current, None
            self._residency.worker_died()
            self._state, self._detail = "restarting", "The worker is being restarted…"
        if job is not None:
            self._fail(job, WorkerDied(exit_code))
        if self._failed_starts >= START_ATTEMPTS:
            reason = f"the worker could not be started (exit code {exit_code}); see the program's output"
            self._give_up(Busy(f"The engine is stopped: {reason}."))

    def _give_up(self, reason: UserError) -> None:
        """No more attempts to start a worker: all jobs, now and later, fail with `reason`."""
        with self._lock:
            self._ended, self._state, self._detail, self._connection = reason, "stopped", reason.message, None
            jobs = [*self._waiting, *([self._current] if self._current else [])]
            self._waiting.clear()
            self._current = None
            self._residency.worker_died()
        for job in jobs:
            self._fail(job, reason)

    def _exit_code(self) -> int | None:
        if self._process is None:
            return None
        self._process.join(timeout=5)
        return self._process.exitcode

    def _fail(self, job: Job, error: UserError) -> None:
        job.put(Failed(code=error.code, message=error.message, field=error.field))

    def _shut_down(self) -> None:
        self._send({"do": "close"})
        patience = CLOSE_SECONDS if self._state == "ready" else 0  # one that still imports hears nothing
        self._give_up(Busy("The program is being closed; the job did not run to its end."))
        if self._process is not None:
            self._process.join(timeout=patience)
            if self._process.is_alive():
                self._process.kill()
                self._process.join()
