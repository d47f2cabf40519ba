"""Many clients at once, each with its own prompt and checkpoint: all get the right picture, and the page answers.

    python -m benchmarks.load [--clients 100] [--checkpoints 100] [--libraries 10]

Prints JSON. The program is the real one with its worker, the checkpoints are tiny and have random weights. First each
picture is drawn alone, by a program that is asked for nothing else; then another is asked for all at once. Half of the
clients use plain HTTP, the others Gradio's protocol, `libraries` of these by Gradio's own client. `right` counts those
whose picture has the pixels of the one that was drawn alone and their own prompt inside. Goals: `right` as many as
`clients`, `strangers` (answers to who asks for another's job) 0, `health_p99_ms`, of the page's own health meanwhile,
at most 250. `config_...` is the same of the page's whole description, a megabyte.

Clients, page, worker and those who ask for the page's health are processes of their own.
"""

import argparse
import asyncio
import hashlib
import io
import json
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.probe import Probe
from benchmarks.program import running
from benchmarks.wire import exchange
from presets.metadata import read_request

Made = tuple[str, str]
"""What identifies a picture's pixels, and the prompt inside it."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--checkpoints", type=int, default=100)
    parser.add_argument("--libraries", type=int, default=10, help="clients that use Gradio's own library")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(_measure(Path(folder), options), indent=2))


def _measure(folder: Path, options: argparse.Namespace) -> dict[str, object]:
    _make_checkpoints(folder / "models/checkpoints", options.checkpoints)
    models = ("--models-dir", str(folder / "models"))
    with running(folder / "alone", *models) as address:
        alone = asyncio.run(_one_by_one(address, options))
    with running(folder / "home", "--user-limit", str(options.clients), *models) as address:
        began = time.perf_counter()
        with Probe(address, "health/live") as health, Probe(address, "config") as config:
            made, strangers = asyncio.run(_all_at_once(address, options))
        seconds = time.perf_counter() - began
    return {
        "clients": options.clients,
        "checkpoints": options.checkpoints,
        "right": sum(expected == own for expected, own in zip(alone, made, strict=True)),
        "different_pictures": len(set(made)),
        "strangers": strangers,
        "seconds": round(seconds, 1),
        **health.figures("health"),
        **config.figures("config"),
    }


def _make_checkpoints(folder: Path, count: int) -> None:
    import torch

    from tests.checkpoints import save_folder, tiny_sd1

    torch.set_num_threads(1)
    for number in range(count):
        save_folder(tiny_sd1(number), folder / f"model-{number}")


def _request(number: int, checkpoints: int) -> dict[str, Any]:
    return {
        "prompt": f"picture number {number} of them all",
        "checkpoint": f"model-{number % checkpoints}",
        "seed": number,
        "steps": 2,
        "width": 64,
        "height": 64,
    }


def _secret(number: int) -> str:
    return f"secret-of-client-{number:08}"


async def _one_by_one(address: str, options: argparse.Namespace) -> list[Made]:
    return [(await _by_http(address, number, options))[0] for number in range(options.clients)]


async def _all_at_once(address: str, options: argparse.Namespace) -> tuple[list[Made], int]:
    """What each client was given, and how many of those who then asked for another's job were given it."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(options.libraries + 1))
    ways: list[Callable[..., Awaitable[tuple[Made, str]]]] = [_by_http, _by_gradio]
    library = 2 * options.libraries
    drawn = await asyncio.gather(
        *(
            (_by_library if number % 2 and number < library else ways[number % 2])(address, number, options)
            for number in range(options.clients)
        )
    )
    jobs = [job for _, job in drawn]
    asked = [exchange(address, f"api/jobs/{job}", token=_secret(number + 1)) for number, job in enumerate(jobs)]
    return [made for made, _ in drawn], sum(status != 404 for status, _ in await asyncio.gather(*asked))


async def _by_http(address: str, number: int, options: argparse.Namespace) -> tuple[Made, str]:
    """A client's picture by plain HTTP, and its job."""
    body = {"kind": "text-to-image", **_request(number, options.checkpoints)}
    status, content = await exchange(address, "api/jobs?wait=600", body, token=_secret(number))
    job = json.loads(content)
    if status != 201 or job["state"] != "done":
        return (f"HTTP {status}", content.decode()), job.get("id", "")
    _, picture = await exchange(address, job["pictures"][0]["url"].lstrip("/"), token=_secret(number))
    return _made(picture), job["id"]


async def _by_gradio(address: str, number: int, options: argparse.Namespace) -> tuple[Made, str]:
    """A client's picture by the protocol of Gradio, and its job."""
    call, cookie = "gradio_api/call", _secret(number)
    body = _request(number, options.checkpoints)
    status, content = await exchange(address, f"{call}/v2/text_to_image", body, cookie=cookie)
    if status != 200:
        return (f"HTTP {status}", content.decode()), ""
    _, stream = await exchange(address, f"{call}/text_to_image/{json.loads(content)['event_id']}", cookie=cookie)
    event, _, data = stream.decode().strip().rpartition("\n\n")[2].partition("\ndata: ")
    if event != "event: complete":
        return (event, data), ""
    files, record = json.loads(data)
    path = files[0]["url"].partition("/gradio_api/")[2]
    _, picture = await exchange(address, f"gradio_api/{path}", cookie=cookie)
    return _made(picture), record["job"]


async def _by_library(address: str, number: int, options: argparse.Namespace) -> tuple[Made, str]:
    """A client's picture by Gradio's own client, and its job."""
    return await asyncio.to_thread(_predicted, address, _request(number, options.checkpoints))


def _predicted(address: str, request: Mapping[str, Any]) -> tuple[Made, str]:
    from gradio_client import Client

    with tempfile.TemporaryDirectory() as downloads:
        client = Client(address, verbose=False, ssl_verify=False, analytics_enabled=False, download_files=downloads)
        files, record = client.predict(**request, api_name="/text_to_image")
        return _made(Path(files[0]["path"] if isinstance(files[0], dict) else files[0]).read_bytes()), record["job"]


def _made(content: bytes) -> Made:
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        file.write(content)
        file.flush()
        recovered = read_request(Path(file.name))
    pixels = Image.open(io.BytesIO(content)).convert("RGB").tobytes()
    return hashlib.sha256(pixels).hexdigest(), recovered.request.caption if recovered else ""


if __name__ == "__main__":
    main()
