"""Many sessions at once on one page: nothing that was accepted is lost, and the page still answers.

    python -m benchmarks.flood [--sessions 5000] [--at-once 64]

Prints JSON. The page is served on loopback over an engine that draws nothing. Each session sends one job through
Gradio's queue, as a browser does, and each accepted one listens for its end at once, so that as many connections stay
open; more than the queue takes are told so (503). Only once all have sent does the engine begin. Goals: `lost` 0,
`alive` true, `other_answers` 0; `health_p99_ms`, of the page's own health meanwhile, at most 250. `config_...` is the
same of the page's whole description, a megabyte.

The page, the clients and those who ask for its health are processes of their own, as they are in life: in one process
they would wait for each other's turn of the interpreter, and not for the page.
"""

import argparse
import asyncio
import json
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.probe import Probe
from benchmarks.wire import exchange

CALL = "gradio_api/call"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=5000)
    parser.add_argument("--at-once", type=int, default=64, help="sessions that are being sent at any moment")
    parser.add_argument("--serve", type=Path, help="only serve the page, with this home")
    options = parser.parse_args()
    if options.serve:
        _serve(options.serve)
        return
    with tempfile.TemporaryDirectory() as home:
        print(json.dumps(_measure(Path(home), options), indent=2))


def _serve(home: Path) -> None:
    """Serve the page as the program does, until the process is told to stop. The engine starts with the line that comes
    in."""
    from pipelines.engine.local import LocalEngine
    from pipelines.engine.store import open_store
    from presets.library import Library
    from presets.settings import Settings
    from tabs import doors
    from tabs.page import build_page
    from tabs.pictures import pictures_of
    from tabs.serving import serve, wait_for_stop

    settings = Settings(home=home)
    engine = LocalEngine(settings, runners="benchmarks.queue:NOTHING", store=open_store(settings.jobs))
    library, pictures = Library(settings.presets), pictures_of(settings)
    page = build_page(engine, library, pictures=pictures)
    routes, lifespan = doors.build(engine, library, settings, pictures)
    threading.Thread(target=lambda: sys.stdin.readline() and engine.start(), daemon=True).start()
    address = serve(page, settings, pictures=settings.pictures, routes=routes, lifespan=lifespan)
    print(f"address {address}", flush=True)
    wait_for_stop()
    page.close(verbose=False)
    engine.close()


@contextmanager
def _served(home: Path) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    command = [sys.executable, "-u", "-m", "benchmarks.flood", "--serve", str(home)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as page:
        assert page.stdout
        yield next(line.split()[1] for line in page.stdout if line.startswith("address ")), page
        page.send_signal(signal.SIGINT)
        page.communicate()


def _measure(home: Path, options: argparse.Namespace) -> dict[str, object]:
    with _served(home) as (address, page):
        with Probe(address, "health/live") as health, Probe(address, "config") as config:
            answers = asyncio.run(_flood(address, page, options))
        accepted = [end for status, end in answers if status == 200]
        statuses, ends = Counter(status for status, _ in answers), Counter(accepted)
        return {
            "sessions": options.sessions,
            "accepted": len(accepted),
            "told_busy": statuses[503] + statuses[429],
            "other_answers": options.sessions - len(accepted) - statuses[503] - statuses[429],
            "lost": len(accepted) - ends["finished"] - ends["refused"],
            "ends": dict(ends),
            "alive": asyncio.run(_sent(address, options.sessions))[0] == 200,
            **health.figures("health"),
            **config.figures("config"),
        }


async def _flood(address: str, page: Any, options: argparse.Namespace) -> list[tuple[int, str]]:
    """Of each session: HTTP's answer to its job, and what that ended as."""
    turns, left = asyncio.Semaphore(options.at_once), options.sessions

    async def session(number: int) -> tuple[int, str]:
        nonlocal left
        async with turns:
            status, event = await _sent(address, number)
        left -= 1
        if not left:
            page.stdin.write("\n")
            page.stdin.flush()
        return status, await _end(address, event) if status == 200 else ""

    return await asyncio.gather(*map(session, range(options.sessions)))


async def _sent(address: str, number: int) -> tuple[int, str]:
    """A session's job sent: HTTP's answer, and its event."""
    body = {"prompt": f"house {number}", "steps": 1, "seed": number}
    status, content = await exchange(address, f"{CALL}/v2/text_to_image", body)
    return status, json.loads(content)["event_id"] if status == 200 else ""


async def _end(address: str, event: str) -> str:
    _, content = await exchange(address, f"{CALL}/text_to_image/{event}")
    text = content.decode()
    if '"state": "finished"' in text:
        return "finished"
    return "refused" if "E-BUSY" in text or "E-QUOTA" in text else f"odd: {text[-200:]}"


if __name__ == "__main__":
    main()
