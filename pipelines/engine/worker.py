"""The loop that owns a device: takes requests, runs them one after another, sends events.

Messages are JSON in both directions, over a `multiprocessing.connection.Connection`:

    down  {"do": "run", "job": id, "request": {...}, "warnings": [...]}
          {"do": "cancel", "job": id}    {"do": "close"}
    up    {"ready": "what was decided for the device"}    {"refused": "why", "code": "E-..."}
          {"job": id, "event": {...}}    {"ended": true}

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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from pipelines.engine.catalog import Catalog
from pipelines.engine.errors import Cancelled, OutOfMemory
from pipelines.engine.jobs import EVENT, Event, Failed, Finished, Loading, Stopped
from presets.errors import UserError
from presets.gallery import Gallery
from presets.requests import AnyRequest, Request
from presets.settings import Settings

if TYPE_CHECKING:
    from pipelines.engine.context import Context

Runner = Callable[[Any, "Context"], None]

_log = logging.getLogger("easel.worker")
_REQUEST: TypeAdapter[AnyRequest] = TypeAdapter(AnyRequest)


def process_main(connection: Connection, settings: Settings, runners: str) -> None:
    """Body of a worker process. Ends when the other side of `connection` closes, whatever the reason."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is the parent's to decide on
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # libraries print; stdout belongs to the program's results
    if settings.threads:
        os.environ["OMP_NUM_THREADS"] = str(settings.threads)
    serve(connection, settings, runners)
    # What any process does at its end, but without taking PyTorch apart: that lasts seconds and saves nothing.
    multiprocessing.util._exit_function()  # pyright: ignore[reportAttributeAccessIssue]
    sys.stderr.flush()
    os._exit(0)


def thread_main(connection: Connection, settings: Settings, runners: str) -> None:
    """Body of the in-process worker. Says when it ends, which of a process the engine sees by itself."""
    try:
        serve(connection, settings, runners)
    finally:
        with suppress(OSError):
            connection.send_bytes(json.dumps({"ended": True}).encode())


def serve(connection: Connection, settings: Settings, runners: str) -> None:
    """Load the libraries, say so, and run requests until told to close.

    `runners` names the table of tasks as "module:NAME": the engine itself imports no task.
    """
    inbox = _Inbox(connection)
    try:
        worker = Worker(settings, runners)
    except UserError as error:  # a setting that this machine cannot follow: trying again would not help
        connection.send_bytes(json.dumps({"refused": error.message, "code": error.code}).encode())
        inbox.wait_for_close()
        return
    connection.send_bytes(json.dumps({"ready": worker.device}).encode())
    for message in inbox.requests():
        job = message["job"]
        worker.run(message["request"], message["warnings"], inbox.sender(job), inbox.cancel_check(job))
        inbox.forget(job)


class _Inbox:
    """Reads messages in a thread of its own, so that a cancel arrives while a job runs."""

    def __init__(self, connection: Connection):
        self._connection = connection
        self._requests: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._cancelled: set[str] = set()
        self._closed = False
        threading.Thread(target=self._read, name="easel-inbox", daemon=True).start()

    def _read(self) -> None:
        while True:
            try:
                message = json.loads(self._connection.recv_bytes())
            except (EOFError, OSError):
                break
            if message["do"] == "close":
                break
            if message["do"] == "cancel":
                self._cancelled.add(message["job"])
            else:
                self._requests.put(message)
        self._closed = True
        self._requests.put(None)

    def requests(self) -> Iterator[dict[str, Any]]:
        """The messages that ask for a run, as they come, until the other side closes."""
        while (message := self._requests.get()) is not None:
            yield message

    def wait_for_close(self) -> None:
        for _ in self.requests():
            pass

    def cancel_check(self, job: str) -> Callable[[], bool]:
        return lambda: self._closed or job in self._cancelled

    def sender(self, job: str) -> Callable[[Event], None]:
        def send(event: Event) -> None:
            try:
                self._connection.send_bytes(b'{"job":"%s","event":%s}' % (job.encode(), EVENT.dump_json(event)))
            except OSError:
                self._closed = True

        return send

    def forget(self, job: str) -> None:
        self._cancelled.discard(job)


class Worker:
    """What a device has: its policy, its models, its gallery. Runs one request at a time on the calling thread."""

    def __init__(self, settings: Settings, runners: str):
        from pipelines.engine import libraries, policy

        self._policy = policy.decide(policy.detect(settings), settings)
        libraries.prepare_libraries(self._policy, settings)  # before anything else imports diffusers

        from pipelines.engine.conditioning import Conditioner
        from pipelines.engine.embeddings import Embeddings
        from pipelines.engine.manager import PipelineManager

        module, name = runners.split(":")
        self._runners: Mapping[type[Request], Runner] = getattr(import_module(module), name)
        self._models = PipelineManager(Catalog(settings.model_roots), self._policy, settings)
        self._conditioner = Conditioner(embeddings=Embeddings(Catalog(settings.model_roots)))
        self._gallery = Gallery(settings.pictures)

    @property
    def device(self) -> str:
        """What was decided for the device, in a line."""
        return str(self._policy)

    def run(
        self,
        values: Mapping[str, Any],
        warnings: Sequence[str],
        send: Callable[[Event], None],
        is_cancelled: Callable[[], bool],
    ) -> None:
        """Run the request that `values` are to its last event. Never raises."""
        from pipelines.engine.context import Context

        started = time.perf_counter()
        parts = (self._models, self._policy, self._conditioner, self._gallery)
        context = Context(*parts, send, is_cancelled, list(warnings))
        try:
            request = _REQUEST.validate_python(values)
            context.report(Loading(what=f"Preparing {request.checkpoint}"))
            self._runners[type(request)](request, context)
            send(Finished(timings={"total": round(time.perf_counter() - started, 4)}))
        except Cancelled:
            send(Stopped())
        except UserError as error:
            send(Failed(code=error.code, message=error.message, field=error.field))
        except Exception as error:  # around a job: whatever a library raises ends this job, never the worker
            send(_failure(error))


def _failure(error: Exception) -> Failed:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        size = OutOfMemory("The device ran out of memory. Try a smaller size, or close what else uses the device.")
        return Failed(code=size.code, message=size.message)
    _log.exception("A job failed in a way that Easel does not foresee")
    reason = f"{type(error).__name__}: {error}"[:200]
    return Failed(code="E-INTERNAL", message=f"The job failed inside the program ({reason}).")
