"""The queue under many jobs: how long accepting one takes, and what they cost in memory.

    python -m benchmarks.queue [--jobs 10000] [--owners 100] [--clients 4]

Prints JSON. The engine is the page's, with its job table on the disk, and a worker that does nothing in no time. Jobs
come from several threads at once as quickly as they are accepted. Goals: `accept_p99_ms` at most 20, `growth_bytes` at
most 100 MB, `done` as many as were sent.
"""

import argparse
import json
import tempfile
import threading
import time
from pathlib import Path
from types import MappingProxyType

from pipelines.engine.jobs import Job
from pipelines.engine.local import LocalEngine
from pipelines.engine.store import open_store
from presets.requests import KINDS, TextToImage
from presets.settings import Settings

NOTHING = MappingProxyType({kind: lambda request, context: None for kind in KINDS.values()})  # noqa: ARG005
"""A table of tasks (see `pipelines/runners.py`) that are done at once."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--owners", type=int, default=100)
    parser.add_argument("--clients", type=int, default=4)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        print(json.dumps(_measure(Path(home), options), indent=2))


def _measure(home: Path, options: argparse.Namespace) -> dict[str, float | int]:
    settings = Settings(home=home, queue_limit=options.jobs, user_limit=options.jobs)
    engine = LocalEngine(settings, runners="benchmarks.queue:NOTHING", store=open_store(settings.jobs)).start()
    try:
        engine.submit(TextToImage(prompt="the first")).result()
        before, began = _resident_bytes(), time.perf_counter()
        accepts, largest = _flood(engine, options)
        accepted = time.perf_counter()
        while engine.status().state == "busy" or engine.status().waiting:
            largest = max(largest, _resident_bytes())
            time.sleep(0.05)
        ended = time.perf_counter()
        accepts.sort()
        return {
            "jobs": options.jobs,
            "accept_median_ms": round(accepts[len(accepts) // 2] * 1000, 2),
            "accept_p99_ms": round(accepts[int(len(accepts) * 0.99)] * 1000, 2),
            "accept_largest_ms": round(accepts[-1] * 1000, 2),
            "accepted_seconds": round(accepted - began, 1),
            "all_ended_seconds": round(ended - began, 1),
            "done": engine.tally().done - 1,
            "growth_bytes": max(largest, _resident_bytes()) - before,
        }
    finally:
        engine.close()


def _flood(engine: LocalEngine, options: argparse.Namespace) -> tuple[list[float], int]:
    """Seconds that each of the jobs took to be accepted, and the largest resident set meanwhile."""
    accepts: list[float] = []
    sizes = [0]

    def send(client: int) -> None:
        for number in range(client, options.jobs, options.clients):
            _submit(engine, number, str(number % options.owners), accepts)
            if number % 100 == 0:
                sizes.append(_resident_bytes())

    clients = [threading.Thread(target=send, args=(client,)) for client in range(options.clients)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    return accepts, max(sizes)


def _submit(engine: LocalEngine, number: int, owner: str, accepts: list[float]) -> Job:
    request = TextToImage(prompt=f"house number {number}", seed=number)
    began = time.perf_counter()
    job = engine.submit(request, owner=owner)
    accepts.append(time.perf_counter() - began)
    return job


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096


if __name__ == "__main__":
    main()
