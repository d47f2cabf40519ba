"""Paths in the place of every text that the program takes: none leads to a file outside of its folders.

    python -m tests.soak.traversal [--texts 200]

Prints JSON. The program runs with its worker in the same process, which is watched by its audit events: whatever is
opened outside of its home, its own folder and its libraries, or changed outside of its home, is noted, once it is
ready. Each of the texts is sent as every text of two kinds of requests (all six in turn; by plain HTTP and by Gradio's
endpoints), as parts of addresses, as names of uploaded files, as what A1111's and OpenAI's clients send, and as all
arguments of one in sixteen of the page's events (all of them in turn). Goals: `outside` (events) and `leaked` (answers
with what stands in a file outside) 0, `failed` (no answer, or HTTP 500 without a sentence) 0, `alive` true, `control`
(that a file which is opened on purpose is noted) 1.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from benchmarks.program import ROOT, free_port
from benchmarks.wire import exchange
from presets.requests import KINDS
from tests.paths import traversals

SECRET = "the secret that nobody may read"
AT_ONCE = 8
FIRST = 10
PARTS = {
    "units": ("picture", "control", "preprocessor", "mode", "union_type"),
    "references": ("picture", "adapter"),
    "blend": ("picture",),
}
"""Fields that are lists, and the texts and pictures in what they list."""

Call = tuple[str, str, object]
"""Method, path and body."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=200)
    parser.add_argument("--serve", nargs=2, metavar=("HOME", "PORT"), help="only serve, and note what happens")
    options = parser.parse_args()
    if options.serve:
        _serve(Path(options.serve[0]), options.serve[1])
        return
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(_measure(Path(folder), options.texts), indent=2))


def _serve(home: Path, port: str) -> None:
    """The program, watched. What it did that it may not is printed at the end."""
    from app import main as run
    from tests.watching import Watch

    os.environ |= {"GRADIO_TEMP_DIR": str(home / "temporary"), "TMPDIR": str(home / "temporary")}
    watch = Watch(readable=[ROOT], writable=[home]).install()

    def begin(*_: object) -> None:
        watch.is_on = True
        Path("/etc/passwd").read_bytes()  # which is to be noted

    signal.signal(signal.SIGUSR1, begin)
    run(["--home", str(home), "--port", port, "--threads", "1", "--in-process", "--offline"])
    watch.is_on = False
    print(json.dumps(watch.seen))


def _measure(folder: Path, count: int) -> dict[str, Any]:
    home, outside = folder / "home", folder / "outside"
    _make_outside(home, outside)
    texts = traversals(home, outside, count)
    port = str(free_port())
    command = [sys.executable, "-m", "tests.soak.traversal", "--serve", str(home), port]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=_environment(home)) as program:
        try:
            found = asyncio.run(_asked(f"http://127.0.0.1:{port}/", program.pid, outside / "secret.png", texts))
        finally:
            program.terminate()
        seen = json.loads(program.communicate()[0].splitlines()[-1])
    control = seen[:1] == [event for event in seen[:1] if "/etc/passwd" in event]
    events = {
        "control": int(control and bool(seen)),
        "outside": len(seen[1:]),
        "shown_outside": Counter(seen[1:]).most_common(FIRST),
    }
    return {"texts": len(texts), **found, **events}


def _environment(home: Path) -> dict[str, str]:
    own = {"HF_HOME": str(home / "hub"), "MPLCONFIGDIR": str(home / "plots"), "GRADIO_ANALYTICS_ENABLED": "False"}
    return {**os.environ, **own, "HF_HUB_OFFLINE": "1"}


def _make_outside(home: Path, outside: Path) -> None:
    """Files that could be read: a picture, weights, a text."""
    from PIL import Image, PngImagePlugin

    (home / "temporary").mkdir(parents=True)
    outside.mkdir()
    about = PngImagePlugin.PngInfo()
    about.add_text("parameters", SECRET)
    Image.new("RGB", (64, 64), "red").save(outside / "secret.png", pnginfo=about)
    (outside / "secret.txt").write_text(SECRET, encoding="utf-8")
    (outside / "secret.safetensors").write_bytes(b"\x02" + bytes(7) + b"{}")
    (home / "outside-link").symlink_to(outside)


async def _asked(address: str, program: int, file: Path, texts: list[str]) -> dict[str, Any]:
    await _ready(address)
    config = json.loads((await exchange(address, "config"))[1])
    picture = json.loads((await _answer(address, ("POST", "api/inputs", file.read_bytes())))[1])
    for kind in KINDS:  # what is imported on the way is not counted
        await _answer(address, ("POST", "api/jobs?wait=300", {"kind": kind, **_sound(kind, picture)}))
    os.kill(program, signal.SIGUSR1)
    calls = [call for place, text in enumerate(texts) for call in _calls(place, text, picture, config)]
    turns, statuses, leaked, failed = asyncio.Semaphore(AT_ONCE), Counter(), [], []

    async def ask(call: Call) -> None:
        async with turns:
            status, content = await _answer(address, call)
        statuses[status] += 1
        if SECRET.encode() in content or b"root:x:0" in content:
            leaked.append(str(call)[:200])
        if status == 0 or (status == 500 and b"error" not in content):
            failed.append(f"{status} {str(call)[:200]} {content[:200]!r}")

    for start in range(0, len(calls), 1000):
        await asyncio.gather(*map(ask, calls[start : start + 1000]))
        print(f"{start} of {len(calls)}", file=sys.stderr)
    await _emptied(address)
    good = {"kind": "text-to-image", "prompt": "a boat", "steps": 1}
    status, content = await _answer(address, ("POST", "api/jobs?wait=300", good))
    return {
        "calls": len(calls),
        "statuses": dict(statuses),
        "leaked": len(leaked),
        "shown_leaked": leaked[:FIRST],
        "failed": len(failed),
        "shown_failed": failed[:FIRST],
        "alive": status == 201 and json.loads(content)["state"] == "done",
    }


async def _ready(address: str) -> None:
    for _ in range(600):
        if (await exchange(address, "health/ready"))[0] == 200:
            return
        await asyncio.sleep(0.3)
    raise TimeoutError("the program did not become ready")


async def _emptied(address: str) -> None:
    """Until no job waits."""
    while json.loads((await exchange(address, "api/about"))[1])["waiting"]:
        await asyncio.sleep(0.5)


async def _answer(address: str, call: Call) -> tuple[int, bytes]:
    method, path, body = call
    status, content = await exchange(address, path, body, method=method)
    if status == 200 and "/call/" in path and method == "POST":
        event = json.loads(content)["event_id"]
        return await exchange(address, f"gradio_api/call/{path.rpartition('/')[2]}/{event}")
    return status, content


def _calls(place: int, text: str, picture: dict[str, Any], config: dict[str, Any]) -> Iterator[Call]:
    """Everything that `text`, which is the one at `place`, is sent as."""
    for kind in dict.fromkeys(("text-to-image", tuple(KINDS)[place % len(KINDS)])):
        yield from _requests(kind, text, picture)
    yield from _events(place, text, config)
    yield from _addresses(text)
    yield from _foreign(text)


def _requests(kind: str, text: str, picture: dict[str, Any]) -> Iterator[Call]:
    sound, endpoint = _sound(kind, picture), f"gradio_api/call/v2/{kind.replace('-', '_')}"
    for values in _with(text, KINDS[kind].model_json_schema(), sound):
        yield "POST", "api/jobs?kept=false", {"kind": kind, **values}
        yield "POST", endpoint, values
    for file in ({"path": text}, {"path": text, "url": text, "meta": {"_type": "gradio.FileData"}}):
        for name in ("image", "mask"):
            yield "POST", endpoint, {**sound, name: file}


def _sound(kind: str, picture: dict[str, Any]) -> dict[str, Any]:
    """A request of that kind that takes little time."""
    small = {"prompt": "a boat", "steps": 1, "width": 64, "height": 64}
    own: dict[str, dict[str, Any]] = {
        "text-to-image": small,
        "image-to-image": {**small, "image": picture, "strength": 1.0},
        "inpaint": {**small, "image": picture, "mask": picture, "strength": 1.0},
        "controlnet": {**small, "units": [{"picture": picture, "preprocessor": "canny"}]},
        "control-picture": {"image": picture, "preprocessor": "canny"},
        "upscale": {"image": picture, "upscaler": "nearest"},
    }
    return own[kind]


def _with(text: str, schema: dict[str, Any], sound: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """`sound` with `text` in the place of each of its texts, and inside its prompt."""
    for name, field in schema["properties"].items():
        if field.get("type") == "string" and name != "kind":
            yield {**sound, name: text}
        if "ImageRef" in json.dumps(field):
            yield {**sound, name: text}
            yield {**sound, name: {"sha256": text, "width": 64, "height": 64}}
    if "prompt" in schema["properties"]:
        yield {**sound, "prompt": f"<lora:{text}:1> __{text}__ {{{text}|b}}"}
        yield {**sound, "styles": [text]}
        yield {**sound, "loras": [{"name": text}]}
    for name, parts in PARTS.items():
        for part in parts if name in schema["properties"] else ():
            yield {**sound, name: [{**sound.get(name, ({},))[0], part: text}]}


def _events(place: int, text: str, config: dict[str, Any]) -> Iterator[Call]:
    """Some of the page's events with the text, or it as a file, as every argument."""
    file = {"path": text, "meta": {"_type": "gradio.FileData"}}
    events = [event for event in config["dependencies"] if event["inputs"] and event.get("backend_fn")]
    for number, event in enumerate(events):
        if (number + place) % 16 == 0:
            value = (text, file, [text], [file])[(number // 16 + place // 16) % 4]
            given = {"data": [value] * len(event["inputs"]), "fn_index": event["id"], "session_hash": f"session{place}"}
            yield "POST", "gradio_api/run/predict" if not event["queue"] else "gradio_api/queue/join", given


def _addresses(text: str) -> Iterator[Call]:
    for part in dict.fromkeys((quote(text, safe=""), quote(text, safe="/%.;?#=:\\~"))):
        for path in (
            "gradio_api/file={}", "gradio_api/file/{}", "file={}", "file/{}", "static/{}", "assets/{}", "svelte/{}",
            "gradio_api/proxy={}", "gradio_api/custom_component/{}/client/example/x.js", "gradio_api/heartbeat/{}x",
            "gradio_api/call/{}/x", "gradio_api/upload_progress?upload_id={}", "pwa_icon/{}", "monitoring/{}",
            "gradio_api/stream/{}/0/0/playlist-file", "?deep_link={}", "config?deep_link={}", "?__theme={}",
            "api/jobs/{}", "api/jobs/{}/pictures/0", "api/jobs/x/pictures/{}", "api/{}", "{}", "sdapi/v1/{}", "v1/{}",
            "gradio_api/file=" + "home/pictures/{}",
        ):  # fmt: skip
            if not path.startswith("gradio_api/heartbeat"):
                yield "GET", path.format(part), None
        yield "DELETE", f"api/jobs/{part}", None
        yield "POST", f"gradio_api/call/{part}", {"data": [text]}


def _foreign(text: str) -> Iterator[Call]:
    """As other programs' clients send it."""
    small = {"prompt": "a boat", "steps": 1, "width": 64, "height": 64}
    for name in ("sampler_name", "scheduler", "hr_upscaler", "hr_sampler_name", "prompt", "negative_prompt"):
        yield "POST", "sdapi/v1/txt2img", {**small, "enable_hr": "hr" in name, name: text}
    yield "POST", "sdapi/v1/txt2img", {**small, "override_settings": {"sd_model_checkpoint": text, "sd_vae": text}}
    yield "POST", "sdapi/v1/txt2img", {**small, "styles": [text]}
    yield "POST", "sdapi/v1/img2img", {**small, "init_images": [text], "mask": text}
    yield "POST", "sdapi/v1/png-info", {"image": text}
    yield "POST", "sdapi/v1/options", {"sd_model_checkpoint": text}
    for name in ("model", "prompt", "size", "response_format", "user"):
        yield "POST", "v1/images/generations", {"prompt": "a boat", "steps": 1, name: text}
    yield "POST", "v1/images/edits", _form(("image", text, b"x"), ("prompt", text, b"a boat"))
    yield "POST", "gradio_api/upload", _form(("files", text, SECRET.encode()[:9]))


def _form(*parts: tuple[str, str, bytes]) -> bytes:
    lines = [
        b'--edge\r\ncontent-disposition: form-data; name="%s"; filename="%s"\r\n\r\n%s\r\n'
        % (name.encode(), file.encode("utf-8", "replace").replace(b'"', b"").replace(b"\n", b""), content)
        for name, file, content in parts
    ]
    return b"".join(lines) + b"--edge--\r\n"


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
