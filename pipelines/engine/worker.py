"""The loop that owns a device: takes requests, runs them one after another, sends events.

Messages are JSON in both directions, over a `multiprocessing.connection.Connection`:

    down  {"do": "run", "job": id, "mark": "...", "request": {...}, "warnings": [...], "hashes": {...},
           "first": picture, "waited": seconds, "owner": digest}
          {"do": "run_together", "job": id, "runs": [such messages], "trial": whether to find out if it pays}
          {"do": "load" or "unload", "job": id, "model": name}
          {"do": "keep", "job": id, "model": name, "keep": true or false}
          {"do": "read_ahead", "model": name}
          {"do": "cancel", "job": id}    {"do": "close"}
    up    {"ready": "what was decided for the device"}    {"refused": "why", "code": "E-..."}
          {"job": id, "event": {...}}    {"ended": true}
          {"memory": {...}}    {"loading": {...}}    {"pays": true, false or null, "job": id}
            {"done": id, "notice": "why it was not done, or empty"}

Runs and commands about models are carried out one after another, as they come; each command is answered by one
"done". A model is read ahead and a job cancelled at once. "memory" comes whenever it has changed, and before a job's
last event.

The same `serve` is the body of a worker process and of the in-process thread; only who calls it differs.
"""

import json
import logging
import multiprocessing.util
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from pipelines.engine import peak_memory
from pipelines.engine.catalog import catalog_of
from pipelines.engine.errors import Cancelled, Withheld
from pipelines.engine.jobs import (
    LAST_EVENTS,
    Event,
    Failed,
    Finished,
    Loading,
    MemoryReport,
    Saved,
    Stopped,
)
from pipelines.engine.messages import Inbox, Outbox
from pipelines.engine.out_of_memory import Shortage, is_out_of_memory, shortage
from presets.control_pictures import ControlPictures
from presets.errors import UserError
from presets.gallery import Gallery
from presets.inputs import Inputs
from presets.request import Request
from presets.requests import AnyRequest
from presets.settings import Settings

if TYPE_CHECKING:
    from pipelines.engine.context import Context

Runner = Callable[[Any, "Context"], None]
Together = Callable[[Sequence[Any], Sequence["Context"], Saved | None], bool]
Send = Callable[[Event], None]

ATTEMPTS = 5
"""At most, to run what memory runs out for: one for each plan, and one more."""

LEAVE_SECONDS = 5
"""Beyond the grace of a program that is told to end, until a worker that was told the same ends by itself."""

SPINS = "50000"
"""Rounds that an OpenMP thread (of GCC's library, which PyTorch uses on Linux) waits busily for the others, before it
sleeps. By default so many that two threads beside another busy process take turns in waiting; with a fifth of this
many a job costs some 4 % more where there is none. `python -m benchmarks.busy` compares them."""

_log = logging.getLogger("easel.worker")
_REQUEST: TypeAdapter[AnyRequest] = TypeAdapter(AnyRequest)


def process_main(connection: Connection, settings: Settings, runners: str) -> None:
    """Body of a worker process. Ends when the other side of `connection` closes, whatever the reason: at once where it
    was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is the parent's to decide on
    signal.signal(signal.SIGTERM, lambda *_: _leave_after(settings.shutdown_grace))  # sent to all of a service at once
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # libraries print; stdout belongs to the program's results
    if settings.threads:
        os.environ["OMP_NUM_THREADS"] = str(settings.threads)
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    serve(connection, settings, runners, hung_up=lambda: os._exit(1))
    # What any process does at its end, but without taking PyTorch apart: that lasts seconds and saves nothing.
    multiprocessing.util._exit_function()  # pyright: ignore[reportAttributeAccessIssue]
    sys.stderr.flush()
    os._exit(0)


def _leave_after(seconds: float) -> None:
    """End this process then, should it not have been told to leave by its parent."""
    timer = threading.Timer(seconds + LEAVE_SECONDS, os._exit, (0,))
    timer.daemon = True
    timer.start()


def thread_main(connection: Connection, settings: Settings, runners: str) -> None:
    """Body of the in-process worker. Says when it ends, which of a process the engine sees by itself."""
    try:
        serve(connection, settings, runners)
    finally:
        with suppress(OSError):
            connection.send_bytes(json.dumps({"ended": True}).encode())


def serve(connection: Connection, settings: Settings, runners: str, hung_up: Callable[[], None] = lambda: None) -> None:
    """Load the libraries, say so, and run requests until told to close.

    `runners` names the table of tasks as "module:NAME": the engine itself imports no task. `hung_up` is called, in a
    thread of its own, where the other side has gone without a word: a next program may begin the same job at any
    moment, and needs the device.
    """
    inbox = Inbox(connection, hung_up)
    try:
        worker = Worker(settings, runners)
    except UserError as error:  # a setting that this machine cannot follow: trying again would not help
        connection.send_bytes(json.dumps({"refused": error.message, "code": error.code}).encode())
        inbox.wait_for_close()
        return
    threading.Thread(target=worker.read_ahead, args=(inbox.ahead,), name="easel-read-ahead", daemon=True).start()
    outbox = Outbox(inbox.tell, worker.memory)
    outbox.tell_memory()
    inbox.tell({"ready": worker.device})
    for message in inbox.requests():
        job, is_cancelled = message["job"], inbox.cancel_check(message["job"])
        if message["do"] == "run":
            worker.run(message, outbox.sender(job), is_cancelled)
        elif message["do"] == "run_together":
            _run_together(worker, message, outbox, inbox)
        else:
            outbox.done(job, worker.obey(message, outbox.loading, is_cancelled))
        inbox.forget(job)


def _run_together(worker: "Worker", message: Mapping[str, Any], outbox: Outbox, inbox: Inbox) -> None:
    runs = message["runs"]
    checks = [inbox.cancel_check(run["job"]) for run in runs]

    def tell(pays: bool | None) -> None:
        inbox.tell({"pays": pays, "job": message["job"]})

    worker.run_together(runs, [outbox.sender(run["job"]) for run in runs], checks, tell, trial=message["trial"])
    for run in runs:
        inbox.forget(run["job"])


class Worker:
    """What a device has: its policy, its models, its gallery. Runs one request at a time on the calling thread."""

    def __init__(self, settings: Settings, runners: str, gallery: Gallery | None = None):
        from pipelines.engine import libraries, policy

        hidden = {"preview_interval": 0.0} if settings.safety_checker else {}  # previews would show what is withheld
        self._policy = replace(policy.decide(policy.detect(settings), settings), **hidden)
        libraries.prepare_libraries(self._policy, settings)  # before anything else imports diffusers

        from pipelines.engine.conditioning import Conditioner
        from pipelines.engine.embeddings import Embeddings
        from pipelines.engine.manager import PipelineManager
        from pipelines.engine.safety import SafetyChecker

        module, name = runners.split(":")
        self._runners: Mapping[type[Request], Runner] = getattr(import_module(module), name)
        self._together: Mapping[type[Request], Together] = getattr(import_module(module), "TOGETHER", {})
        self._safety = SafetyChecker(settings.model_roots) if settings.safety_checker else None
        self._models = PipelineManager(catalog_of(settings), self._policy, settings)
        self._conditioner = Conditioner(embeddings=Embeddings(catalog_of(settings)))
        self._gallery = gallery or Gallery(settings.pictures)
        self._inputs = Inputs(settings.inputs)
        self._control_pictures = ControlPictures(settings.control_pictures)

    @property
    def device(self) -> str:
        """What was decided for the device, in a line."""
        return f"{self._policy}, safety checker {'on' if self._safety else 'off'}"

    def _context(self, message: Mapping[str, Any], send: Send, is_cancelled: Callable[[], bool]) -> "Context":
        from pipelines.engine.context import Context

        parts = (self._models, self._policy, self._conditioner, self._gallery, self._inputs)
        return Context(
            *parts,
            send,
            is_cancelled,
            hashes=message["hashes"],
            warnings=list(message["warnings"]),
            control_pictures=self._control_pictures,
            waited=message["waited"],
            mark=message["mark"],
            owner=message["owner"],
            inspect=self._safety.check if self._safety else None,
        )

    def run_together(
        self,
        messages: Sequence[Mapping[str, Any]],
        senders: Sequence[Send],
        checks: Sequence[Callable[[], bool]],
        tell: Callable[[bool | None], None],
        *,
        trial: bool,
    ) -> None:
        """Run the requests of several "run" messages at once to their last events, and one by one where that fails or
        does not pay, of which `tell` is told. In a `trial` the first is run alone, and the others held against it.
        Never raises."""
        ended: set[int] = set()
        proof: list[Saved] = []

        def sender(number: int) -> Send:
            def send(event: Event) -> None:
                if isinstance(event, LAST_EVENTS):
                    ended.add(number)
                elif isinstance(event, Saved) and number == 0:
                    proof.append(event)
                senders[number](event)

            return send

        own = [sender(number) for number in range(len(messages))]
        if trial:
            self.run(messages[0], own[0], checks[0])
        contexts = [self._context(*each) for each in zip(messages, own, checks, strict=True)]
        is_comparable = bool(proof) or not trial
        tell(self._drawn_together(messages, contexts, proof[0] if trial else None) if is_comparable else None)
        for number, message in enumerate(messages):
            if number not in ended:
                self.run(message, own[number], checks[number])

    def _drawn_together(
        self, messages: Sequence[Mapping[str, Any]], contexts: Sequence["Context"], proof: Saved | None
    ) -> bool | None:
        """Whether that was possible and paid; None where one of the pictures ended it."""
        requests = [_REQUEST.validate_python(message["request"]) for message in messages]
        try:
            return self._together[type(requests[0])](requests, contexts, proof)
        except (Cancelled, Withheld):
            return None
        except Exception as error:  # whatever it was, each is now run alone, and told what is its own
            _log.warning("Jobs could not be drawn together (%s); they are drawn one by one", error)
            return False

    def run(self, message: Mapping[str, Any], send: Send, is_cancelled: Callable[[], bool]) -> None:
        """Run the request of a "run" message to its last event. Never raises."""
        started = time.perf_counter()
        saved: list[Saved] = []

        def pass_on(event: Event) -> None:
            if isinstance(event, Saved):
                saved.append(event)
            send(event)

        context = self._context(message, pass_on, is_cancelled)

        def work() -> Event:
            request = _REQUEST.validate_python(message["request"])
            context.report(Loading(doing="Preparing", what=request.checkpoint_used or request.title))
            runner = self._runners[type(request)]

            def attempt() -> None:
                waited = 0.0 if saved else message["waited"]
                runner(request, replace(context, first=message["first"] + len(saved), waited=waited))

            peak_memory.count_anew(self._policy.device)
            self._within_memory(attempt, context.warn)
            return Finished(timings={"total": round(time.perf_counter() - started, 4)})

        send(_ending_of(work))

    def obey(
        self, command: Mapping[str, Any], report: Callable[[Event], None], is_cancelled: Callable[[], bool]
    ) -> str:
        """Carry out a command about a model. A sentence where that was not possible, else an empty text."""
        name = command["model"]

        def check_and_report(event: Event) -> None:
            if is_cancelled():
                raise Cancelled
            report(event)

        def work() -> Event:
            if command["do"] == "load":
                self._within_memory(lambda: self._models.load(name, check_and_report), _log.warning)
            elif command["do"] == "keep":
                self._models.keep(name, command["keep"])
            else:
                self._models.unload(name)
            return Finished()

        ending = _ending_of(work)
        if isinstance(ending, Stopped):
            return f"{name} was not loaded: it was stopped."
        return f"{ending.message} [{ending.code}]" if isinstance(ending, Failed) else ""

    def _within_memory(self, work: Callable[[], None], tell: Callable[[str], None]) -> None:
        """Do `work`, and where memory runs out again, with others out of the way and by a plan that needs less.

        `tell` is told of each further attempt. Raises `OutOfMemory` where none is left.
        """
        attempts = 0
        while (short := self._shortage_in(work)) is not None:
            attempts += 1
            relief = self._models.relieve(short.tier)
            if relief is None or attempts == ATTEMPTS:
                raise short.error()
            tell(f"Memory ran out ({short}); trying again {relief}.")

    def _shortage_in(self, work: Callable[[], None]) -> Shortage | None:
        """Do `work`; what it lacked where memory ran out. On return what it had computed is free, as its error is."""
        try:
            work()
        except (RuntimeError, MemoryError, OSError) as error:
            if not is_out_of_memory(error):
                raise
            return shortage(error, self._policy.device)
        return None

    def memory(self) -> MemoryReport:
        """Which models are in memory now."""
        return self._models.memory()

    def read_ahead(self, names: "queue.SimpleQueue[str]") -> None:
        """Read ahead what `names` brings, the last of several, for ever: the body of a thread of its own."""
        while True:
            name = names.get()
            while not names.empty():
                name = names.get()
            self._models.read_ahead(name)


def _ending_of(work: Callable[[], Event]) -> Event:
    """What `work` returns, or the event that tells why it did not come to its end."""
    try:
        return work()
    except Cancelled:
        return Stopped()
    except UserError as error:
        return Failed(code=error.code, message=error.message, field=error.field)
    except Exception as error:  # around a job: whatever a library raises ends this job, never the worker
        return _failure(error)


def _failure(error: Exception) -> Failed:
    _log.exception("A job failed in a way that Easel does not foresee")
    reason = f"{type(error).__name__}: {error}"[:200]
    return Failed(code="E-INTERNAL", message=f"The job failed inside the program ({reason}).")
