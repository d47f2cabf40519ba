"""The whole program as a process of its own, for what asks it from outside."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
START_SECONDS = 180.0


@contextmanager
def running(home: Path, *options: str, environment: Mapping[str, str] = {}) -> Iterator[str]:  # noqa: B006
    """`python app.py` over `home`: its address, once jobs can run. It is told to end with the block."""
    port = free_port()
    command = [sys.executable, "app.py", "--home", str(home), "--port", str(port), "--threads", "1", *options]
    quiet = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **quiet, **environment}, stdout=subprocess.DEVNULL)
    try:
        address = f"http://127.0.0.1:{port}/"
        _wait(process, address)
        yield address
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait(process: "subprocess.Popen[bytes]", address: str) -> None:
    """Until jobs can run. Raises `TimeoutError`, also where the program ended."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}health/ready", timeout=10):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    raise TimeoutError(f"the program did not become ready (exit code {process.poll()})")
