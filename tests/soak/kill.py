"""The program, its worker, and others that write into its home, killed (SIGKILL) at random moments.

    python -m tests.soak.kill [--kills 300] [--writer-kills 300] [--seed 0] [--quick] [--minutes M]

Prints JSON. People send jobs over HTTP all the while; of the kills four in ten are of the whole program, which is then
started again, the others of its worker; most of them while it draws, some at any moment, also before it answers.
Beside it a process that does nothing but write presets, given pictures, control pictures, hashes and a gallery is
killed and started again. No program writes its settings, so there is nothing to kill there. With `--quick` programs
and workers begin with their libraries loaded (see zygote.py), so that a kill comes every few seconds.

In the end every accepted job must be done, with each of its pictures there once: `lost`, `given_up`, `doubled` 0. Every
visible file must be whole, every request and preset readable: `broken` empty. `integrity` is SQLite's own word on the
index and the job tables. A worker is not killed twice in one job by one program: that would end the job, by design.
"""

import argparse
import itertools
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.checkpoints import save_folder, tiny_sd1
from tests.soak.homes import broken_files, integrity, seeds_of_pictures
from tests.soak.programs import ROOT, SECRET, Program, Zygote

WAITING = 4
"""Unfinished jobs that the people have."""
PICTURES = 2
"""Of each job."""
WORKER_KILLS = 3
"""At most, of one run of the program: it stops where three die before they were ready."""
UNKNOWN = "any"
ANY_MOMENT = 0.4
"""Share of the kills that come whatever goes on, within the time that a start takes."""
LONGEST_WAIT = 45.0
"""Seconds until a job runs, at most."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--writer-kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="after which no more is killed")
    parser.add_argument("--home", type=Path, help="kept afterwards; else a temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(_soak(options.home or Path(folder), options), indent=2))


def _soak(home: Path, options: argparse.Namespace) -> dict[str, Any]:
    save_folder(tiny_sd1(), home / "models/checkpoints/tiny")
    began, chance = time.monotonic(), random.Random(options.seed)
    people = People()
    command = [sys.executable, "-m", "tests.soak.homes", str(home), str(options.writer_kills)]
    writers = subprocess.Popen(command, cwd=ROOT)
    zygote = Zygote(home / "program.log") if options.quick else None
    end = began + 60 * options.minutes
    kills = _kill(home, people, options.kills, chance, zygote, end)
    if writers.wait():
        raise RuntimeError("a writer failed by itself")
    states, reasons = _let_end(home, people)
    if zygote:
        zygote.end()
    seeds = seeds_of_pictures(home / "pictures")
    wanted = {seed + index for seed in people.accepted.values() for index in range(PICTURES)}
    return {
        "kills": dict(kills) | {"writer": options.writer_kills},
        "accepted": len(people.accepted),
        "done": states["done"],
        "given_up": states["failed"],
        "because": sorted(set(reasons)),
        "lost": len(people.accepted) - states["done"] - states["failed"],
        "pictures_missing": len(wanted - seeds.keys()),
        "doubled": sum(count - 1 for count in seeds.values()),
        "pictures": sum(seeds.values()),
        "broken": broken_files(home),
        "integrity": integrity(home),
        "seconds": round(time.monotonic() - began),
    }


class People:
    """Who sends jobs. `accepted` has the seed of each job that the program said it took."""

    def __init__(self) -> None:
        self.accepted: dict[str, int] = {}
        self._seeds: Iterator[int] = itertools.count(1, PICTURES)

    def send(self, client: httpx.Client) -> None:
        """Send jobs until as many wait as should."""
        while _about(client)["waiting"] < WAITING:
            seed = next(self._seeds)
            request = {"kind": "text-to-image", "prompt": f"house {seed}", "checkpoint": "tiny", "seed": seed}
            size = {"width": 64, "height": 64, "steps": 4, "count": PICTURES}
            answer = client.post("/api/jobs", json={**request, **size})
            if answer.status_code != 201:
                time.sleep(0.5)
                return
            self.accepted[answer.json()["id"]] = seed

    def send_to(self, program: Program, stop: threading.Event) -> None:
        """Go on until `stop`, whether the program answers or not."""
        while not stop.wait(0.1):
            with suppress(httpx.TransportError):
                self.send(program.client)


def _about(client: httpx.Client) -> dict[str, Any]:
    return client.get("/api/about").json()


def _kill(
    home: Path, people: People, count: int, chance: random.Random, zygote: Zygote | None, end: float
) -> Counter[str]:
    """Kill `count` times, or until `end`, and leave no program behind."""
    kills: Counter[str] = Counter()
    while kills.total() < count and time.monotonic() < end:
        program, stop = Program(home, zygote), threading.Event()
        sender = threading.Thread(target=people.send_to, args=(program, stop))
        sender.start()
        hit: set[str] = set()
        for _ in range(chance.randint(0, WORKER_KILLS)):
            kills["worker"] += _kill_worker(program, hit, chance)
        _wait_for_a_moment(program, chance)
        program.process.kill()
        stop.set()
        sender.join()
        program.kill()
        kills["program"] += 1
        print(dict(kills), len(people.accepted), file=sys.stderr, flush=True)
    return kills


def _kill_worker(program: Program, hit: set[str], chance: random.Random) -> bool:
    """At a random moment; whether there was one. Not within a job that was `hit` before, or may have been: the worker
    stands still while it is asked which one that would be."""
    _wait_for_a_moment(program, chance)
    end = time.monotonic() + LONGEST_WAIT
    while time.monotonic() < end:
        worker = program.worker()
        with suppress(psutil.Error):
            if worker is not None:
                worker.suspend()
                running = _running(program)
                if not (UNKNOWN in hit or hit.intersection(running)):
                    hit.update(running)
                    worker.kill()
                    worker.wait(10)
                    return True
                worker.resume()
        time.sleep(0.05)
    return False


def _wait_for_a_moment(program: Program, chance: random.Random) -> None:
    """Now and then any, else one at which a job runs, if one does soon."""
    if chance.random() < ANY_MOMENT:
        time.sleep(chance.uniform(0, program.start_seconds))
        return
    end = time.monotonic() + LONGEST_WAIT
    while time.monotonic() < end and not _is_drawing(program):
        time.sleep(0.05)
    time.sleep(chance.expovariate(1 / 0.3))


def _is_drawing(program: Program) -> bool:
    try:
        return _about(program.client)["state"] == "busy"
    except httpx.TransportError:
        return False


def _running(program: Program) -> list[str]:
    """The identifiers of the jobs that run; one that stands for any where the program does not say."""
    try:
        return [job["id"] for job in program.client.get("/api/jobs").json() if job["state"] == "running"]
    except httpx.TransportError:
        return [UNKNOWN]


def _let_end(home: Path, people: People) -> tuple[Counter[str], list[str]]:
    """Start the program once more and wait for all jobs; how many came to which end, and why some failed."""
    program = Program(home)
    try:
        while not program.answers:
            time.sleep(0.1)
        while (about := _about(program.client))["waiting"] or about["state"] != "ready":
            time.sleep(0.5)
        answers = [program.client.get(f"/api/jobs/{job}", headers=SECRET) for job in people.accepted]
        told = [answer.json() if answer.status_code == 200 else {"state": "unknown"} for answer in answers]
        reasons = [job["error"]["message"] for job in told if job["state"] == "failed"]
        return Counter(job["state"] for job in told), reasons
    finally:
        program.end()


if __name__ == "__main__":
    main()
