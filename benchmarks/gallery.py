"""A gallery of 20,000 pictures: how soon its first page is there, on the server and in a browser.

    python -m benchmarks.gallery [--pictures 20000] [--seconds 10]

Prints JSON; seconds are medians but for `first_...`, which happen once in a new process. The pictures are files as the
program saves them, small but for the newest 300. `listing_seconds` is what a plain listing of the folders takes, which
knows nothing of what is in the files. `probe_p99_ms` is of the page's own health while one visitor turns pages and
fetches their thumbnails for `--seconds`. In the browser, if Chromium is there, `to_tiles` is from the click on the tab
to the first page's tiles, `to_thumbnails` to the thumbnails of those that can be seen, `plain_tab` what the click on
the tab of the queue takes, which lists nothing here: Gradio's own share. Goals: `first_page_seconds` and
`to_thumbnails` at most 0.5, `probe_p99_ms` at most 250.
"""

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from presets.drawing import LoraUse
from presets.gallery import Gallery
from presets.metadata import encode_png
from presets.requests import TextToImage
from presets.settings import Settings

ROUNDS = 15
BROWSER_ROUNDS = 5
LARGE = 300
"""The newest pictures, of 512 x 512 pixels."""
DAYS = 50
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
WORDS = ("house", "boat", "sea", "sunset", "castle", "snow", "tree", "meadow", "star", "night", "red", "blue", "small")
SETTLED = "async () => { for (let n = 0; n < 20; n++) await new Promise(requestIdleCallback); }"
VISIBLE = """() => {
    const grid = document.querySelector(".gallery-grid"), end = grid ? grid.getBoundingClientRect().bottom : 0;
    const images = [...document.querySelectorAll(".gallery-tile img")];
    const seen = images.filter((image) => image.getBoundingClientRect().top < end);
    return seen.length > 0 && seen.every((image) => image.complete && image.naturalWidth);
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        _serve(options.serve)
    with tempfile.TemporaryDirectory() as home:
        print(json.dumps(_measure(Path(home), options.pictures, options.seconds), indent=2))


def _measure(home: Path, count: int, seconds: float) -> dict[str, Any]:
    settings = Settings(home=home)
    report: dict[str, Any] = {"pictures": count}
    report["making_seconds"] = _seconds(lambda: _make(settings.pictures, count))
    report["index_seconds"] = _seconds(lambda: Gallery(settings.pictures).recent(1))
    report["listing_seconds"] = _median(lambda: _list(settings.pictures))
    with _served(home) as address, httpx.Client(base_url=address, timeout=120, verify=False) as client:
        client.get("health/live")
        report["first_page_seconds"] = _seconds(lambda: client.get("api/pictures"))
        for name, query in _QUESTIONS.items():
            report[name] = _median(lambda query=query: client.get("api/pictures", params=query).raise_for_status())
        report["choices_seconds"] = _median(lambda: client.get("api/pictures/choices"))
        shown = [one["thumbnail"].removeprefix("/") for one in client.get("api/pictures").json()["pictures"]]
        report["60_thumbnails_made_seconds"] = _seconds(lambda: [client.get(path) for path in shown])
        report["60_thumbnails_kept_seconds"] = _seconds(lambda: [client.get(path) for path in shown])
        report["probe_p99_ms"] = _probed(address, client, seconds)
        shutil.rmtree(settings.thumbnails)
        report["browser"] = _in_browser(address)
    return report


_QUESTIONS = {
    "page_seconds": {},
    "search_seconds": {"search": "house sunset"},
    "field_search_seconds": {"search": 'checkpoint:="checkpoint 3" lora:ink starred:no'},
    "nothing_found_seconds": {"search": "word that none has"},
    "page_of_500_seconds": {"limit": 500},
}


def _make(root: Path, count: int) -> None:
    chance, now = random.Random(7), time.time()
    for number in range(count):
        created = now - (count - number) * DAYS * 86400 / count
        folder = root / time.strftime("%Y-%m-%d", time.localtime(created))
        folder.mkdir(parents=True, exist_ok=True)
        secret = "".join(chance.choices("abcdefghijklmnopqrstuvwxyz234567", k=16))
        side = 512 if number >= count - LARGE else 32
        request = _request(chance, number)
        content = encode_png(_picture(side, number), request, {"created": created, "device": "cpu"})
        (folder / f"{number + 1:06d}-{request.seed}-{secret}.png").write_bytes(content)


def _request(chance: random.Random, number: int) -> TextToImage:
    prompt = " ".join(chance.choices(WORDS, k=12))
    loras = (LoraUse(name=f"ink {number % 5}"),) if number % 3 == 0 else ()
    return TextToImage(prompt=prompt, seed=number, checkpoint=f"checkpoint {number % 7}", loras=loras)


def _picture(side: int, number: int) -> Image.Image:
    gradient = Image.linear_gradient("L").resize((side, side))
    noise = Image.effect_noise((side, side), 20)
    return Image.merge("RGB", (gradient, noise, gradient.rotate(number % 360)))


def _list(root: Path) -> list[str]:
    names = [f"{day.name}/{entry.name}" for day in os.scandir(root) if day.is_dir() for entry in os.scandir(day)]
    return sorted(names, reverse=True)


def _probed(address: str, client: httpx.Client, seconds: float) -> float:
    """The health's 99th percentile in milliseconds while pages are turned."""
    probes: list[float] = []
    stop = threading.Event()
    prober = threading.Thread(target=_probe, args=(address, probes, stop))
    prober.start()
    end, after = time.monotonic() + seconds, ""
    while time.monotonic() < end:
        page = client.get("api/pictures", params={"after": after}).json()
        after = page["next"]
        for picture in page["pictures"]:
            client.get(picture["thumbnail"].removeprefix("/"))
    stop.set()
    prober.join()
    return round(sorted(probes)[int(len(probes) * 0.99)] * 1000, 1)


def _probe(address: str, probes: list[float], stop: threading.Event) -> None:
    with httpx.Client(timeout=60, verify=False) as client:
        while not stop.wait(0.02):
            probes.append(_seconds(lambda: client.get(f"{address}health/live")))


def _in_browser(address: str) -> dict[str, Any] | str:
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        return "no Chromium or Chrome is installed"
    from playwright.sync_api import sync_playwright  # pyright: ignore[reportMissingImports]

    with sync_playwright() as runner:
        browser = runner.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        made = _opened(browser, address)
        kept = [_opened(browser, address) for _ in range(BROWSER_ROUNDS)]
        browser.close()
    medians = {name: statistics.median(one[name] for one in kept) for name in made}
    return {"thumbnails_made": made, "thumbnails_kept": medians}


def _opened(browser: Any, address: str) -> dict[str, float]:
    page = browser.new_page(viewport={"width": 1440, "height": 950})
    page.goto(address)
    page.wait_for_selector("#text-to-image-generate")
    page.wait_for_timeout(3000)
    page.evaluate(SETTLED)
    began = time.perf_counter()
    page.get_by_role("tab", name="Gallery").click()
    page.wait_for_selector(".gallery-tile", state="attached")
    tiles = time.perf_counter() - began
    page.wait_for_function(VISIBLE)
    thumbnails = time.perf_counter() - began
    began = time.perf_counter()
    page.get_by_role("tab", name="Queue").click()
    page.wait_for_selector("#queue-jobs .empty", state="attached")
    plain = time.perf_counter() - began
    page.close()
    return {"to_tiles": round(tiles, 3), "to_thumbnails": round(thumbnails, 3), "plain_tab": round(plain, 3)}


@contextmanager
def _served(home: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "benchmarks.gallery", "--serve", str(home)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        yield next(line.split()[1] for line in process.stdout if line.startswith("address "))
    finally:
        process.terminate()
        process.wait()


def _serve(home: Path) -> None:
    """The page without a worker, until the process is ended."""
    from pipelines.engine.local import LocalEngine
    from presets.library import Library
    from tabs import http_api
    from tabs.access import access_of
    from tabs.page import build_page
    from tabs.pictures import pictures_of
    from tabs.serving import serve

    settings = Settings(home=home)
    engine, library, pictures = LocalEngine(settings), Library(), pictures_of(settings)
    page = build_page(engine, library, pictures=pictures)
    routes = http_api.routes(engine, library, access_of(settings), pictures)
    print("address", serve(page, settings, pictures=settings.pictures, routes=routes), flush=True)
    threading.Event().wait()


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return round(time.perf_counter() - began, 4)


def _median(work: Callable[[], object]) -> float:
    return round(statistics.median(_seconds(work) for _ in range(ROUNDS)), 4)


if __name__ == "__main__":
    main()
