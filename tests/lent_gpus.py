"""A stand-in for what ZeroGPU has on its machines: the interface by which the package `spaces` is lent a GPU."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

OVER_QUOTA = {"left": 23, "wait": 753}


class LentGpus:
    """One GPU. `idle` says that the fork of the last job still has it; while `over_quota` nobody is lent it, while
    `waiting` is set everybody waits for it. `asked` are the questions so far: path and parameters."""

    def __init__(self) -> None:
        self.idle = True
        self.over_quota = False
        self.waiting = threading.Event()
        self.asked: list[tuple[str, dict[str, str]]] = []

    def of(self, path: str) -> list[dict[str, str]]:
        """What was asked at `path`."""
        return [parameters for asked, parameters in list(self.asked) if asked == path]

    @property
    def forks(self) -> list[int]:
        """Process numbers of those that were let have the GPU."""
        return [int(parameters["pid"]) for parameters in self.of("/allow")]


class _Answers(BaseHTTPRequestHandler):
    gpus: LentGpus

    def do_POST(self) -> None:
        url = urlsplit(self.path)
        parameters = dict(parse_qsl(url.query))
        self.gpus.asked.append((url.path, parameters))
        if url.path != "/schedule":
            return self._answer(200, {})
        if self.gpus.over_quota:
            return self._answer(429, OVER_QUOTA, {"X-Authenticated": "regular"})
        if self.gpus.waiting.is_set():
            return self._keep_waiting()
        lent = {
            "idle": self.gpus.idle,
            "nvidiaIndex": 0,
            "nvidiaUUID": "MIG-1",
            "allowToken": f"{len(self.gpus.asked)}",
        }
        return self._answer(200, lent)

    def _answer(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"content-type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _keep_waiting(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        left = threading.Event()
        while self.gpus.waiting.is_set() and not left.wait(0.2):
            try:
                self.wfile.write(b"event: ping\n\n")
            except OSError:
                return

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def lent_gpus() -> Iterator[tuple[LentGpus, str]]:
    """The stand-in and its address."""
    gpus = LentGpus()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Answers", (_Answers,), {"gpus": gpus}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield gpus, f"http://127.0.0.1:{server.server_port}"
    finally:
        gpus.waiting.clear()
        server.shutdown()
