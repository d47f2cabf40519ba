"""How much memory the other kinds add to text to image on one checkpoint, in one worker process.

    python -m benchmarks.sharing [--steps 4]

Prints JSON: the worker's resident bytes after some pictures from words, after pictures of every other kind, and of what
was added the bytes of the models that text to image has no use for (control model, upscaler), counted apart. `growth`
is the rest as a share of the first. Goal: under 0.05.
"""

import argparse
import json
import multiprocessing
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from PIL import Image, ImageDraw, ImageFilter

from pipelines.engine.local import LocalEngine
from presets.controlnet import ControlUnit
from presets.inputs import Inputs
from presets.requests import AnyRequest, ControlNet, ImageToImage, Inpaint, TextToImage
from presets.settings import Settings
from presets.upscale import Upscale

EXTRAS = Path(__file__).parent.parent / "pipelines" / "engine" / "extras"
APART = ("controlnets", "upscalers")
WARM = 5
"""Pictures of each kind: libraries load and buffers grow with the first ones."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=4)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        engine = LocalEngine(Settings(home=Path(home), threads=1)).start()
        try:
            first, *others = _requests(engine.inputs, options.steps)
            alone = _after(engine, [first])
            report: dict[str, float] = {
                first.kind: alone,
                "all": _after(engine, others),
                "models_apart": _bytes_apart(),
            }
        finally:
            engine.close()
    report["growth"] = round((report["all"] - report["models_apart"] - alone) / alone, 4)
    print(json.dumps(report, indent=2))


def _requests(inputs: Inputs, steps: int) -> Iterator[AnyRequest]:
    scene = Image.new("RGB", (128, 128), (120, 170, 230))
    ImageDraw.Draw(scene).rectangle((40, 60, 90, 110), fill=(200, 40, 30))
    mask = Image.new("RGB", scene.size)
    ImageDraw.Draw(mask).rectangle((40, 60, 90, 110), fill="white")
    image, outline = inputs.keep(scene), inputs.keep(scene.filter(ImageFilter.FIND_EDGES))
    usual: dict[str, Any] = {"prompt": "a red house", "steps": steps, "seed": 7}
    yield TextToImage(**usual)
    yield ImageToImage(image=image, **usual)
    yield Inpaint(image=image, mask=inputs.keep(mask), **usual)
    yield ControlNet(units=(ControlUnit(picture=outline),), **usual)
    yield Upscale(image=image)


def _after(engine: LocalEngine, requests: list[AnyRequest]) -> int:
    """The worker's resident bytes once the pictures of all `requests` are made."""
    for request in requests:
        for _ in range(WARM):
            engine.submit(request).result()
    (worker,) = [process for process in multiprocessing.active_children() if process.name == "easel-worker"]
    return psutil.Process(worker.pid).memory_info().rss


def _bytes_apart() -> int:
    return sum(path.stat().st_size for folder in APART for path in (EXTRAS / folder).rglob("*.safetensors"))


if __name__ == "__main__":
    main()
