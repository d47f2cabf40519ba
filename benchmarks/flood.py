"""Many sessions at once on one page: nothing that was accepted is lost, and the page still answers.

    python -m benchmarks.flood [--sessions 5000]

Prints JSON. The page is served on loopback over an engine that draws nothing. Each session sends one job through
Gradio's queue, as a browser does, without waiting for it; more than the queue takes are told so (503). Then each
accepted one is asked for its end. Goals: `lost` 0, `alive` true, `other_answers` 0; `probe_p99_ms`, of the page's
own health meanwhile, at most 250.
"""

import argparse
import json
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from pipelines.engine.local import LocalEngine
from pipelines.engine.store import open_store
from presets.settings import Settings
from tabs.page import build_page
from tabs.serving import serve

CLIENTS = 16
"""Threads that send."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=5000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        print(json.dumps(_measure(Path(home), options.sessions), indent=2))


def _measure(home: Path, sessions: int) -> dict[str, object]:
    settings = Settings(home=home)
    engine = LocalEngine(settings, runners="benchmarks.queue:NOTHING", store=open_store(settings.jobs))
    page = build_page(engine)
    address = serve(page, settings, pictures=settings.pictures)
    try:
        probes, stop = [], threading.Event()
        prober = threading.Thread(target=_probe, args=(address, probes, stop))
        prober.start()
        with ThreadPoolExecutor(CLIENTS) as pool:
            answers = list(pool.map(lambda number: _join(address, number), range(sessions)))
            engine.start()  # only now: all that was accepted had to wait
            accepted = [session for session, status in answers if status == 200]
            ends = Counter(pool.map(lambda session: _end(address, session), accepted))
        stop.set()
        prober.join()
        statuses = Counter(status for _, status in answers)
        return {
            "sessions": sessions,
            "accepted": statuses[200],
            "told_busy": statuses[503],
            "other_answers": sessions - statuses[200] - statuses[503],
            "lost": statuses[200] - ends["finished"] - ends["refused"],
            "ends": dict(ends),
            "alive": _join(address, sessions)[1] == 200,
            "probe_p99_ms": round(sorted(probes)[int(len(probes) * 0.99)] * 1000, 1),
        }
    finally:
        page.close(verbose=False)
        engine.close()


def _join(address: str, number: int) -> tuple[str, int]:
    """A session's job sent: its event, and HTTP's answer."""
    body = {"prompt": f"house {number}", "steps": 1, "seed": number}
    with httpx.Client(timeout=120, verify=False) as client:  # making a context for TLS takes longer than all else
        answer = client.post(f"{address}gradio_api/call/v2/text_to_image", json=body)
    return (answer.json().get("event_id", "") if answer.status_code == 200 else "", answer.status_code)


def _end(address: str, event: str) -> str:
    with httpx.Client(timeout=300, verify=False) as client:
        text = client.get(f"{address}gradio_api/call/text_to_image/{event}").text
    if '"state": "finished"' in text:
        return "finished"
    return "refused" if "E-BUSY" in text or "E-QUOTA" in text else f"odd: {text[-200:]}"


def _probe(address: str, seconds: list[float], stop: threading.Event) -> None:
    with httpx.Client(timeout=120, verify=False) as client:
        while not stop.wait(0.2):
            began = time.perf_counter()
            client.get(f"{address}config")
            seconds.append(time.perf_counter() - began)


if __name__ == "__main__":
    main()
