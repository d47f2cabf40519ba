"""The worker as the engine sees it: a process, a thread, or GPUs that are lent, and messages down and up
(see worker.py)."""

import json
import logging
import multiprocessing
import threading
from collections.abc import Mapping
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from pipelines.engine import worker, zero
from presets.settings import Settings

EXIT_SECONDS = 5
"""Until the exit code of a worker that has hung up is known."""

_log = logging.getLogger("easel.engine")


class Link:
    """At most one worker at a time. `connection` is where its messages come, None while there is none. Any thread may
    send; all else is the supervisor's."""

    def __init__(self, settings: Settings, runners: str, lender: zero.Lender | None = None):
        self.connection: Connection | None = None
        self._settings = settings
        self._runners = runners
        self._lender = lender
        self._process: BaseProcess | None = None
        self._sending = threading.Lock()

    def start(self) -> None:
        """Start a worker. Raises `OSError`."""
        here, there = multiprocessing.Pipe()
        arguments = (there, self._settings, self._runners)
        if self._lender:
            lending = (there, self._lender)
            threading.Thread(target=zero.thread_main, args=lending, name="easel-zero", daemon=True).start()
        elif self._settings.in_process:
            threading.Thread(target=worker.thread_main, args=arguments, name="easel-worker", daemon=True).start()
        else:
            spawn = multiprocessing.get_context("spawn")
            self._process = spawn.Process(target=worker.process_main, args=arguments, name="easel-worker", daemon=True)
            self._process.start()
            there.close()
        self.connection = here

    def send(self, message: Mapping[str, object]) -> None:
        """Where there is no worker, nothing is sent."""
        with self._sending:
            try:
                if self.connection is not None:
                    self.connection.send_bytes(json.dumps(message).encode())
            except OSError:
                _log.debug("The worker is gone; the supervisor will notice")

    def receive(self) -> dict[str, Any] | None:
        """The next message; None where the worker has ended."""
        assert self.connection is not None
        try:
            message = json.loads(self.connection.recv_bytes())
        except (EOFError, OSError):
            return None
        return None if "ended" in message else message

    def hang_up(self) -> int | None:
        """The worker has ended: its exit code, None for that of a thread."""
        self.connection = None
        if self._process is None:
            return None
        self._process.join(timeout=EXIT_SECONDS)
        return self._process.exitcode

    def end(self, seconds: float) -> None:
        """Wait for the worker to leave, and kill it after `seconds`."""
        if self._process is not None:
            self._process.join(timeout=seconds)
            if self._process.is_alive():
                self._process.kill()
                self._process.join()
