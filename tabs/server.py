"""Gradio's server, on machines that are busy and behind proxies."""

import os
import threading
import time
from typing import Any

import uvicorn
from gradio import http_server
from gradio.exceptions import ServerFailedToStartError


def prepare() -> None:
    """Let the page be served by `PatientServer`, which Gradio asks directly whether it has begun."""
    http_server.Server = PatientServer
    _ask_oneself_directly()


class PatientServer(http_server.Server):
    """Gradio's own, which gives up after 5 s, and the program with it; this one waits for as long as a busy machine
    takes. On a Space it does not listen for changes of the program's code."""

    def __init__(self, config: uvicorn.Config, **_reloading: Any):
        super().__init__(config)

    def run_in_thread(self) -> None:
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        while not self.started:
            if not self.thread.is_alive():
                raise ServerFailedToStartError
            time.sleep(0.01)


def _ask_oneself_directly() -> None:
    """Gradio asks its own server to begin, and must not do so by a proxy that the environment names."""
    for name in ("NO_PROXY", "no_proxy"):
        known = [host for host in os.environ.get(name, "").split(",") if host]
        os.environ[name] = ",".join(dict.fromkeys((*known, "localhost", "127.0.0.1", "::1")))
