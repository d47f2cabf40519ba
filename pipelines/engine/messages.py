"""Both ends of a worker's connection to the engine; what is said on it stands in worker.py."""

import json
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection
from typing import Any

from pipelines.engine.jobs import EVENT, LAST_EVENTS, Event, Loading, MemoryReport, Progress
from pipelines.engine.pace import Pace

PROGRESS_INTERVAL = 0.2
"""Seconds between two steps that are told of, beside the first and last of a picture and those with a preview: who
watches takes from the processor that draws."""


class Inbox:
    """Reads messages in a thread of its own, so that a cancel arrives while a job runs.

    `ahead` holds the names of models that are to be read ahead.
    """

    def __init__(self, connection: Connection, hung_up: Callable[[], None]):
        self._connection = connection
        self._hung_up = hung_up
        self._telling = threading.Lock()
        self._requests: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._cancelled: set[str] = set()
        self._closed = False
        self.ahead: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._read, name="easel-inbox", daemon=True).start()

    def _read(self) -> None:
        while True:
            try:
                message = json.loads(self._connection.recv_bytes())
            except (EOFError, OSError):
                self._hung_up()
                break
            if message["do"] == "close":
                break
            if message["do"] == "cancel":
                self._cancelled.add(message["job"])
            elif message["do"] == "read_ahead":
                self.ahead.put(message["model"])
            else:
                self._requests.put(message)
        self._closed = True
        self._requests.put(None)

    def requests(self) -> Iterator[dict[str, Any]]:
        """The messages that ask for a run or about a model, as they come, until the other side closes."""
        while (message := self._requests.get()) is not None:
            yield message

    def wait_for_close(self) -> None:
        for _ in self.requests():
            pass

    def cancel_check(self, job: str) -> Callable[[], bool]:
        return lambda: self._closed or job in self._cancelled

    def tell(self, message: Mapping[str, Any]) -> None:
        """Send a message up, from any thread. Where nobody listens any more, whatever runs is cancelled."""
        try:
            with self._telling:
                self._connection.send_bytes(json.dumps(message).encode())
        except OSError:
            self._closed = True

    def forget(self, job: str) -> None:
        self._cancelled.discard(job)


class Outbox:
    """What goes up from a worker by `tell`: events, and the memory's state, by `memory`, wherever it has changed."""

    def __init__(self, tell: Callable[[Mapping[str, Any]], None], memory: Callable[[], MemoryReport]):
        self._tell = tell
        self._memory = memory
        self._last: MemoryReport | None = None

    def sender(self, job: str) -> Callable[[Event], None]:
        pace = Pace(PROGRESS_INTERVAL)

        def send(event: Event) -> None:
            if isinstance(event, Progress) and not (event.preview or event.step in (1, event.steps) or pace.due()):
                return
            if isinstance(event, LAST_EVENTS) or (isinstance(event, Progress) and event.step == 1):
                self.tell_memory()
            self._tell(event_message(job, event))

        return send

    def loading(self, event: Event) -> None:
        """Take what is reported while a model is loaded by command."""
        if isinstance(event, Loading):
            self._tell({"loading": event.model_dump(mode="json")})

    def done(self, command: str, notice: str) -> None:
        self.tell_memory()
        self._tell({"done": command, "notice": notice})

    def tell_memory(self) -> None:
        report = self._memory()
        if report != self._last:
            self._last = report
            self._tell({"memory": report.model_dump(mode="json")})


def event_message(job: str, event: Event) -> dict[str, Any]:
    return {"job": job, "event": EVENT.dump_python(event, mode="json")}
