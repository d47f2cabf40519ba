"""How long a page takes to answer, asked from a process of its own again and again until the input ends.

    python -m benchmarks.probe http://127.0.0.1:7860/ health/live

Prints JSON: the seconds of each answer. Nothing else of the project is loaded, so that the process waits for no one
but the page.
"""

import http.client
import json
import subprocess
import sys
import threading
import time
from urllib.parse import urlsplit

PAUSE_SECONDS = 0.1
"""Between an answer and the next question."""


def main() -> None:
    address, path = urlsplit(sys.argv[1]), sys.argv[2]
    stop, seconds = threading.Event(), []
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    while not stop.wait(PAUSE_SECONDS):
        seconds.append(_seconds(address.netloc, address.path + path))
    print(json.dumps(seconds))


def _seconds(place: str, path: str) -> float:
    """Of one answer, on a connection of its own; that there was none counts as two minutes."""
    connection, began = http.client.HTTPConnection(place, timeout=120), time.perf_counter()
    try:
        connection.request("GET", path)
        connection.getresponse().read()
    except OSError:
        return 120.0
    finally:
        connection.close()
    return time.perf_counter() - began


class Probe:
    """Asks for `path` of the page at `address` while the block lasts; `figures` then tells how long that took."""

    def __init__(self, address: str, path: str):
        self._command = [sys.executable, "-m", "benchmarks.probe", address, path]
        self._seconds: list[float] = []

    def __enter__(self) -> "Probe":
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._seconds = sorted(json.loads(self._process.communicate("")[0]))

    def figures(self, name: str) -> dict[str, float | int]:
        """In milliseconds, under keys that begin with `name`."""
        ranks = {"median": len(self._seconds) // 2, "p99": int(len(self._seconds) * 0.99), "largest": -1}
        found = {f"{name}_{rank}_ms": round(self._seconds[place] * 1000, 1) for rank, place in ranks.items()}
        return {f"{name}_answers": len(self._seconds), **found}


if __name__ == "__main__":
    main()
