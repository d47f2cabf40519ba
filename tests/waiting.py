"""Waiting for what another thread or process does."""

import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess


def wait_until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Poll until `condition()` is true; fail the test if it does not become so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def workers() -> list[BaseProcess]:
    """The engines' worker processes that run."""
    return [process for process in multiprocessing.active_children() if process.name == "easel-worker"]
