"""The whole program as a process of its own, for soaks that end it in bad ways."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import psutil

ROOT = Path(__file__).parent.parent.parent
SECRET = {"Authorization": "Bearer the-secret-of-the-soak"}


class Zygote:
    """A process that becomes the program quickly (see zygote.py)."""

    def __init__(self, log: Path):
        self._log = log.open("ab")
        command = [sys.executable, "-m", "tests.soak.zygote"]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True
        )

    def program(self, arguments: list[str]) -> int:
        """The id of its process."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{json.dumps(arguments)}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()
        self._log.close()


class Program:
    """`python app.py` over `home`, begun, by a zygote where one is given; `client` speaks to it once it
    answers, some `start_seconds` later."""

    def __init__(self, home: Path, zygote: Zygote | None = None):
        self.start_seconds = 2.0 if zygote else 10.0
        port = _free_port()
        arguments = ["--home", str(home), "--port", str(port), "--threads", "1"]
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=SECRET, timeout=30)
        if zygote is None:
            with (home / "program.log").open("ab") as log:
                command = [sys.executable, "app.py", *arguments]
                self.process = psutil.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        else:
            self.process = psutil.Process(zygote.program(arguments))

    @property
    def answers(self) -> bool:
        try:
            return self.client.get("/health/live").status_code == 200
        except httpx.TransportError:
            return False

    def worker(self) -> psutil.Process | None:
        """The process that draws, if there is one now."""
        try:
            children = self.process.children()
            return next((child for child in children if "resource_tracker" not in " ".join(child.cmdline())), None)
        except psutil.Error:
            return None

    def kill(self) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            self.process.kill()
        self._leave()

    def end(self) -> None:
        """As Ctrl+C does."""
        self.process.send_signal(signal.SIGINT)
        self._leave()

    def _leave(self) -> None:
        self.process.wait(60)
        self.client.close()


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]
