"""The engine's worker on ZeroGPU, where Hugging Face's package `spaces` lends a GPU for each job, to a fork of this
process.

The main process only imports the libraries: it loads no model and touches no device. For each job it asks for a GPU,
for as long as the job is expected to take and out of the visitor's quota (`Lender.run`). `spaces` then forks this
process, or takes the fork of an earlier job where that still has its GPU, and has it run `Lender._draw`, whose messages
come back through a pipe. There a `Worker` (worker.py) is made at the first job, and stays with its models for as long
as the fork does, which ends whenever ZeroGPU likes.

A fork has the locks of all threads as they were, those inside SQLite among them: so it writes pictures as files, which
the main process lists.
"""

import json
import logging
import math
import mmap
import os
import queue
import re
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing, suppress
from contextvars import copy_context
from importlib import import_module
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pipelines.engine import libraries
from pipelines.engine.catalog import catalog_of
from pipelines.engine.errors import Cancelled, NoGpuLent
from pipelines.engine.jobs import LAST_EVENTS, Event, Failed, MemoryReport, Queued, Stopped, Warned
from pipelines.engine.messages import Inbox, Outbox, event_message
from pipelines.engine.worker import Worker
from presets.errors import UserError
from presets.gallery import FilesOnly, Gallery
from presets.requests import AnyRequest
from presets.settings import SettingRefused, Settings, is_on_zero_gpu

START_SECONDS = 15.0
"""Until a fork has its GPU and the libraries are ready on it."""
READ_RATE = 0.5e9
"""Bytes of a checkpoint that are loaded in a second, at least."""
GUESSED_RATE = 0.5e-6
"""Seconds for a pixel's step, where no job of the kind and checkpoint has ended yet: more than Stable Diffusion XL,
3.5 Large or Flux.1 should take on half an H200."""
MARGIN = 1.5
"""For how many times as long as it is expected to draw a job is lent the GPU."""
HEARTBEAT_SECONDS = 0.2
"""Between two signs of life of a job, after each of which the main process tells it whether it was cancelled."""
SILENCE_SECONDS = 120
"""Without a sign of life, after which a fork is given up."""
PARENT_SECONDS = 1.0
"""Between a fork's looks at whether the program is still there."""

HEADERS = ("x-ip-token", "x-gradio-user")
"""What `spaces` reads of a visitor's request: whose quota it is, and whether he sits before the page."""
QUOTAS = frozenset({"ZeroGPU quota exceeded", "ZeroGPU illegal duration", "ZeroGPU pending credits exceeded"})
FORK_FAILED = "ZeroGPU worker error"
"""Titles of what `spaces` raises."""

_LAST = frozenset(kind.model_fields["type"].default for kind in LAST_EVENTS)
_LINK = re.compile(r"\[([^\]]+)\]\(([^)]+)\)")
_TAG = re.compile(r"<[^>]+>")

_log = logging.getLogger("easel.zero")


def guessed_seconds(request: AnyRequest) -> float:
    """What a job of `request` may take, without loading."""
    return GUESSED_RATE * request.work


def seconds_to_lend(drawing: float, size_bytes: int, limit: int) -> int:
    """For how many seconds a job asks for a GPU that is expected to draw for so many, with a checkpoint of `size_bytes`
    that may have to be loaded; `limit` at most."""
    return min(limit, math.ceil(START_SECONDS + size_bytes / READ_RATE + MARGIN * drawing))


def lender_of(settings: Settings, runners: str = "pipelines.runners:RUNNERS") -> "Lender | None":
    """What lends GPUs here, where something does. To be called in the main thread before gradio or torch is imported.

    Raises `SettingRefused` where it is told to and cannot.
    """
    if not settings.zero_gpu or settings.device == "cpu":
        return None
    if not is_on_zero_gpu():
        raise SettingRefused("zero_gpu is for ZeroGPU Spaces alone, which set SPACES_ZERO_GPU.", field="zero_gpu")
    if find_spec("spaces") is None:
        _log.warning("The package `spaces` is not installed: no GPU is lent")
        return None
    return Lender(settings, runners)


class Lender:
    """Draws on GPUs that are lent, one job after another."""

    def __init__(self, settings: Settings, runners: str):
        import spaces  # imports and patches torch and gradio
        from spaces.zero import wrappers
        from spaces.zero.gradio import LocalContext

        wrappers.GENERATOR_GLOBAL_TIMEOUT = SILENCE_SECONDS

        logging.getLogger("httpx").setLevel(logging.WARNING)  # which tells whole addresses, and tokens stand in them
        self._local: Any = LocalContext
        self._settings = settings
        self._runners = runners
        self._catalog = catalog_of(settings)
        self._gallery = Gallery(settings.pictures)
        self._stop = mmap.mmap(-1, 1)  # shared with all forks: 1 where the job is to stop
        self._main = os.getpid()
        self._worker: Worker | None = None
        """In a fork alone."""
        self._on_gpu = spaces.GPU(duration=_seconds_lent)(self._draw)

    @property
    def device(self) -> str:
        return f"ZeroGPU, which lends a GPU to each job for up to {self._settings.zero_gpu_seconds} seconds"

    def visitor(self) -> dict[str, str]:
        """Of the request that is being answered, where there is one: what tells whose quota a job takes. A secret."""
        headers = getattr(self._local.request.get(None), "headers", {})
        return {name: headers[name] for name in HEADERS if headers.get(name)}

    def import_libraries(self) -> None:
        """Have all there that a fork needs, so that it need not import it on lent time. xformers is left out: only in a
        fork could be tried whether it runs."""
        libraries.hide_xformers()
        libraries.import_libraries(self._settings)
        for name in (self._runners.split(":")[0], "pipelines.engine.embeddings", "pipelines.engine.safety"):
            import_module(name)

    def run(
        self, message: dict[str, Any], tell: Callable[[Mapping[str, Any]], None], is_cancelled: Callable[[], bool]
    ) -> None:
        """Have the request of a "run" message drawn, and tell its events to the last one, or that it was lost with the
        fork. Never raises."""
        terms, asked, seconds = message.pop("terms"), _Asked(message["job"], tell, is_cancelled), 0
        try:
            size = self._size_of(terms["checkpoint"], asked.send)
            seconds = seconds_to_lend(terms["drawing"], size, self._settings.zero_gpu_seconds)
            asked.send(_waiting(f"Asking ZeroGPU for a GPU for {seconds} seconds."))
            copy_context().run(self._lend, {**message, "seconds": seconds}, terms["visitor"], asked)
            asked.lost(seconds)
        except Cancelled:
            asked.end(Stopped())
        except UserError as error:
            asked.end(_failed(error))
        except Exception as error:  # around a job: whatever `spaces` raises ends this job alone
            title, reason = getattr(error, "title", ""), _reason(error)
            if is_cancelled():
                asked.end(Stopped())
            elif title in QUOTAS:
                asked.end(_failed(NoGpuLent(reason, is_quota=True)))
            elif title == FORK_FAILED or isinstance(error, queue.Empty):
                _log.error("A job's process was lost: %s", reason)
                asked.lost(seconds)
            else:
                _log.error("No GPU was lent: %s", reason)
                asked.end(_failed(NoGpuLent(reason)))

    def _size_of(self, checkpoint: str, send: Callable[[Event], None]) -> int:
        """Bytes of the checkpoint, which is fetched first where it is the Hub's: not on lent time."""
        model = self._catalog.find(checkpoint) if checkpoint else None
        if model is not None and model.path is None:
            from pipelines.engine.hub import download  # its library takes long to import

            half = self._settings.dtype != "float32"
            model = download(model.name, offline=self._settings.offline, half=half, report=send)
        return model.size_bytes if model else 0

    def _lend(self, message: dict[str, Any], visitor: Mapping[str, str], asked: "_Asked") -> None:
        """Get a GPU, and pass on what comes from it, to the job's last event or the fork's end. To be called in a
        context of its own. Raises what `spaces` does."""
        self._local.request.set(SimpleNamespace(headers=_Headers(visitor)) if visitor else None)
        self._local.blocks.set(asked)
        self._local.event_id.set(asked.job)
        self._stop[0] = 0
        with closing(self._on_gpu(message)) as lines:  # closing waits until the fork is done with the job
            for line in lines:
                self._stop[0] = asked.is_cancelled()
                if line and line["event"]["type"] == "saved":
                    self._gallery.take_in(Path(line["event"]["path"]), owner=message["owner"])
                if line:
                    asked.pass_on(line)
                if asked.ended:
                    return

    # In a fork

    def _draw(self, message: dict[str, Any]) -> Generator[dict[str, Any] | None, None, None]:
        """The messages of the job, the last event at the end, and None as a sign of life between them."""
        lines: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        drawing = threading.Thread(target=self._work, args=(message, lines.put), name="easel-drawing", daemon=True)
        drawing.start()
        try:
            while drawing.is_alive() or not lines.empty():
                line = None
                with suppress(queue.Empty):
                    line = lines.get(timeout=HEARTBEAT_SECONDS)
                yield line
        except GeneratorExit:
            self._stop[0] = 1
            raise
        finally:
            drawing.join()

    def _work(self, message: dict[str, Any], put: Callable[[Mapping[str, Any]], None]) -> None:
        def tell(line: Mapping[str, Any]) -> None:
            if "event" in line:
                put(line)

        outbox = Outbox(tell, MemoryReport)
        try:
            worker = self._worker_here()
        except UserError as error:  # a setting that this device cannot follow
            outbox.sender(message["job"])(_failed(error))
            return
        worker.run(message, outbox.sender(message["job"]), lambda: self._stop[0] == 1)

    def _worker_here(self) -> Worker:
        """The worker of this fork. Raises `UserError`."""
        if self._worker is None:
            _let_go_of_connections()
            threading.Thread(target=_leave_with, args=(self._main,), name="easel-watch", daemon=True).start()
            self._worker = Worker(self._settings, self._runners, FilesOnly(self._settings.pictures))
        return self._worker


def _seconds_lent(message: dict[str, Any]) -> int:
    return message["seconds"]


class _Headers(dict[str, str]):
    """As `spaces` takes them: of a class that has attributes."""


class _Asked:
    """A job that asks for a GPU.

    It stands where `spaces` looks for Gradio's page, its queue and the event that called it, so that `spaces` learns of
    a job that is cancelled while it waits for a GPU, and what `spaces` has to tell reaches the job.
    """

    server = SimpleNamespace(config=SimpleNamespace(port=-1))
    """The connections that a fork is to close are found otherwise (`_let_go_of_connections`)."""

    def __init__(self, job: str, tell: Callable[[Mapping[str, Any]], None], is_cancelled: Callable[[], bool]):
        self.job = self._id = job
        self.is_cancelled = is_cancelled
        self.ended = False
        self.active_jobs = [[self]]
        self._queue = self
        self._tell = tell

    def send(self, event: Event) -> None:
        """Raises `Cancelled`."""
        if self.is_cancelled():
            raise Cancelled
        self._tell(event_message(self.job, event))

    def pass_on(self, line: Mapping[str, Any]) -> None:
        self.ended = line["event"]["type"] in _LAST
        self._tell(line)

    def end(self, event: Event) -> None:
        """The last event, unless there was one."""
        if not self.ended:
            self.pass_on(event_message(self.job, event))

    def lost(self, seconds: int) -> None:
        """The fork has ended before the job did, for which it had been lent for `seconds`."""
        if not self.ended:
            self.ended = True
            self._tell({"lost": seconds, "job": self.job})

    @property
    def alive(self) -> bool:
        return not self.is_cancelled()

    def log_message(self, *, log: str, level: str, **_others: Any) -> None:
        event = Warned(message=_plain(log)) if level == "warning" else _waiting(_plain(log))
        self._tell(event_message(self.job, event))

    def set_progress(self, *_arguments: Any, **_named: Any) -> None:
        """Of getting the device ready, which takes a second or two."""


def serve(connection: Connection, lender: Lender) -> None:
    """As `worker.serve`: import the libraries, say so, and have requests drawn until told to close."""
    inbox = Inbox(connection, lambda: None)
    lender.import_libraries()
    inbox.tell({"memory": MemoryReport(lent=True).model_dump(mode="json")})
    inbox.tell({"ready": lender.device})
    for message in inbox.requests():
        lender.run(message, inbox.tell, inbox.cancel_check(message["job"]))
        inbox.forget(message["job"])


def thread_main(connection: Connection, lender: Lender) -> None:
    """Body of the thread. Says when it ends."""
    try:
        serve(connection, lender)
    finally:
        with suppress(OSError):
            connection.send_bytes(json.dumps({"ended": True}).encode())


def _waiting(sentence: str) -> Queued:
    return Queued(position=1, detail=sentence.removesuffix(".") + "…")


def _failed(error: UserError) -> Failed:
    return Failed(code=error.code, message=error.message, field=error.field)


def _reason(error: Exception) -> str:
    """What `spaces` says, as plain text; of errors of others the kind alone, as secrets may stand in them."""
    message = getattr(error, "message", None)
    if message is None and type(error) is not RuntimeError:
        return f"{type(error).__name__}."
    return _plain(str(error) if message is None else str(message))


def _plain(text: str) -> str:
    """`text` without HTML, and with Markdown's links written out."""
    plain = " ".join(_LINK.sub(r"\1 (\2)", _TAG.sub("", str(text))).split())
    return plain if plain.endswith((".", "!", "?", "…")) else f"{plain}."


def _let_go_of_connections() -> None:
    """Give up the visitors' connections and the page's port, which a fork has too: they would stay open with it. Their
    numbers stay taken, as objects of the main process name them."""
    from spaces.zero.utils import get_process_connections

    nothing = os.open(os.devnull, os.O_RDWR)
    for connection in list(get_process_connections()):
        os.dup2(nothing, connection.fd)
    os.close(nothing)


def _leave_with(main: int) -> None:
    """End this process once the program has ended, whatever ended it."""
    while os.getppid() == main:
        time.sleep(PARENT_SECONDS)
    os._exit(1)
