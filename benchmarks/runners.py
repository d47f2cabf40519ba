"""What each kind of drawing costs beside its raw diffusers pipeline: same weights, steps, size, seed, inputs.

    python -m benchmarks.runners [--rounds 9] [--steps 20] [--threads 1] [--kinds image-to-image ...]

Prints JSON. For each kind, `ratio` is the median over interleaved rounds of engine seconds / raw seconds, from submit
to the saved picture, without previews; both run in this process. Goal: at most 1.03. `difference` is the mean
difference of the pixels (0 to 255); of an inpainted picture that under the mask, whose seam Easel matches.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from pipelines.engine.local import LocalEngine
from presets.controlnet import ControlUnit
from presets.drawing import Redrawing
from presets.inputs import Inputs
from presets.requests import AnyDrawing, ControlNet, ImageToImage, Inpaint, TextToImage
from presets.settings import Settings

ENGINE = Path(__file__).parent.parent / "pipelines" / "engine"
STARTER = ENGINE / "starter"
CONTROL = "storybook-outline"
PROMPT = "a red house by the sea at sunset"
SIDE = 128

Raw = Callable[[], Image.Image]


def main() -> None:
    options = _options()
    import torch

    torch.set_num_threads(options.threads)
    report: dict[str, Any] = {"steps": options.steps, "threads": options.threads}
    with tempfile.TemporaryDirectory() as home:
        settings = Settings(
            home=Path(home), in_process=True, threads=options.threads, dtype="float32", preview_interval=0
        )
        engine = LocalEngine(settings)
        cases = _cases(engine.inputs, options.steps, options.kinds)
        engine.start()
        try:
            for request, raw in cases:
                report[request.kind] = _compare(engine, request, raw, options.rounds)
        finally:
            engine.close()
    print(json.dumps(report, indent=2))


KINDS = ("text-to-image", "image-to-image", "inpaint", "controlnet")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    return parser.parse_args()


def _cases(inputs: Inputs, steps: int, kinds: tuple[str, ...]) -> list[tuple[AnyDrawing, Raw]]:
    """A request of each kind, and what makes its picture without Easel."""
    import diffusers

    base = diffusers.StableDiffusionPipeline.from_pretrained(
        STARTER, safety_checker=None, requires_safety_checker=False
    )
    scene, mask, outline = _scene(), _mask(), _scene().filter(ImageFilter.FIND_EDGES)
    usual: dict[str, Any] = {"prompt": PROMPT, "steps": steps, "seed": 7, "width": SIDE, "height": SIDE}
    unit = ControlUnit(picture=inputs.keep(outline), control=CONTROL)
    requests: dict[str, AnyDrawing] = {
        "text-to-image": TextToImage(**usual),
        "image-to-image": ImageToImage(image=inputs.keep(scene), **usual),
        "inpaint": Inpaint(
            image=inputs.keep(scene), mask=inputs.keep(mask.convert("RGB")), grow_mask=0, feather_mask=0, **usual
        ),
        "controlnet": ControlNet(units=(unit,), **usual),
    }
    given: dict[str, Mapping[str, Any]] = {
        "text-to-image": {},
        "image-to-image": {"image": scene},
        "inpaint": {"image": scene, "mask_image": mask},
        "controlnet": {"image": outline},
    }
    classes = {
        "text-to-image": diffusers.StableDiffusionPipeline,
        "image-to-image": diffusers.StableDiffusionImg2ImgPipeline,
        "inpaint": diffusers.StableDiffusionInpaintPipeline,
        "controlnet": diffusers.StableDiffusionControlNetPipeline,
    }
    cases = []
    for kind in kinds:
        more = {"controlnet": _control_model()} if kind == "controlnet" else {}
        pipe = classes[kind](**base.components, **more, requires_safety_checker=False)
        cases.append((requests[kind], _raw(pipe, requests[kind], given[kind])))
    return cases


def _control_model() -> Any:
    import diffusers

    return diffusers.ControlNetModel.from_pretrained(ENGINE / "extras" / "controlnets" / CONTROL)


def _raw(pipe: Any, request: AnyDrawing, given: Mapping[str, Any]) -> Raw:
    import torch

    from pipelines.engine import samplers

    pipe.to(torch.float32)
    pipe.scheduler = samplers.build(request.sampler, request.schedule, pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    more = {"strength": request.strength} if isinstance(request, Redrawing) else {}

    def draw() -> Image.Image:
        return pipe(
            request.prompt,
            num_inference_steps=request.steps,
            guidance_scale=request.guidance_scale,
            generator=torch.Generator("cpu").manual_seed(request.seed),
            **given,
            **more,
        ).images[0]

    return draw


def _compare(engine: LocalEngine, request: AnyDrawing, raw: Raw, rounds: int) -> dict[str, float]:
    saved = engine.submit(request).result()[0]
    with Image.open(saved.path) as own:
        difference = np.abs(np.asarray(own, np.float32) - np.asarray(raw(), np.float32))
    if isinstance(request, Inpaint):
        difference = difference[np.asarray(_mask()) > 0]
    pairs = []
    for _ in range(rounds):
        began = time.perf_counter()
        raw()
        middle = time.perf_counter()
        engine.submit(request).result()
        pairs.append((middle - began, time.perf_counter() - middle))
    return {
        "raw_seconds": round(statistics.median(raw_time for raw_time, _ in pairs), 4),
        "engine_seconds": round(statistics.median(own for _, own in pairs), 4),
        "ratio": round(statistics.median(own / raw_time for raw_time, own in pairs), 4),
        "difference": round(float(difference.mean()), 2),
    }


def _scene() -> Image.Image:
    image = Image.new("RGB", (SIDE, SIDE), (120, 170, 230))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 90, SIDE, SIDE), fill=(60, 140, 60))
    draw.rectangle((40, 60, 90, 110), fill=(200, 40, 30))
    return image


def _mask() -> Image.Image:
    mask = Image.new("L", (SIDE, SIDE))
    ImageDraw.Draw(mask).rectangle((30, 40, 100, 115), fill=255)
    return mask


if __name__ == "__main__":
    main()
