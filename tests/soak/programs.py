"""The whole program as a process of its own, for soaks that end it in bad ways."""

import socket
import subprocess
import sys
from pathlib import Path

import httpx
import psutil

ROOT = Path(__file__).parent.parent.parent
SECRET = {"Authorization": "Bearer the-secret-of-the-soak"}


class Program:
    """`python app.py` over `home`, begun; `client` speaks to it once it answers."""

    def __init__(self, home: Path, *arguments: str):
        port = _free_port()
        command = [sys.executable, "app.py", "--home", str(home), "--port", str(port), "--threads", "1", *arguments]
        self._log = (home / "program.log").open("ab")
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=self._log, stderr=self._log)
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=SECRET, timeout=30)

    @property
    def answers(self) -> bool:
        try:
            return self.client.get("/health/live").status_code == 200
        except httpx.TransportError:
            return False

    def worker(self) -> psutil.Process | None:
        """The process that draws, if there is one now."""
        try:
            children = psutil.Process(self.process.pid).children()
            return next((child for child in children if "spawn_main" in " ".join(child.cmdline())), None)
        except psutil.Error:
            return None

    def kill(self) -> None:
        self.process.kill()
        self._leave()

    def end(self) -> None:
        """As Ctrl+C does."""
        self.process.send_signal(2)
        self._leave()

    def _leave(self) -> None:
        self.process.wait(60)
        self.client.close()
        self._log.close()


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]
