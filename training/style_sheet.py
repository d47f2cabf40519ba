"""The same prompts and seeds by the starter, its LoRAs and the second checkpoint, drawn by the program itself:
`python -m training.style_sheet [FILE]`.
"""

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from PIL import Image

from pipelines.engine.jobs import Engine
from pipelines.engine.local import LocalEngine
from presets.requests import TextToImage
from presets.settings import Settings
from training.evaluate import sheet

PROMPTS = (
    "a red house by the sea at sunset",
    "a green tree on a meadow during the day",
    "a yellow cat in the snow at night",
    "a purple castle in the desert on a cloudy day",
)
LOOKS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "storybook": ("storybook", ""),
        "pixel-art": ("storybook", "<lora:pixel-art:1>"),
        "pixel-art at 0.5": ("storybook", "<lora:pixel-art:0.5>"),
        "pencil": ("storybook", "<lora:pencil:1>"),
        "both at 0.6": ("storybook", "<lora:pixel-art:0.6><lora:pencil:0.6>"),
        "storybook-neon": ("storybook-neon", ""),
    }
)
"""Checkpoint and what is added to the prompt, by the words under the picture."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, nargs="?", default=Path("styles-sheet.png"))
    file = parser.parse_args().file
    with tempfile.TemporaryDirectory() as home:
        engine = LocalEngine(Settings(home=Path(home), in_process=True)).start()
        try:
            pictures = draw_all(engine, PROMPTS)
        finally:
            engine.close()
    words = [f"{look}: {prompt}" for prompt in PROMPTS for look in LOOKS]
    sheet(pictures, words, columns=len(LOOKS)).save(file)


def draw_all(engine: Engine, prompts: Sequence[str]) -> list[Image.Image]:
    """For each prompt a picture in each of `LOOKS`, all of one seed."""
    return [_draw(engine, prompt + added, checkpoint) for prompt in prompts for checkpoint, added in LOOKS.values()]


def _draw(engine: Engine, prompt: str, checkpoint: str) -> Image.Image:
    job = engine.submit(TextToImage(prompt=prompt, checkpoint=checkpoint, seed=7))
    for _ in job.events():
        pass
    with Image.open(job.saved[0].path) as picture:
        return picture.convert("RGB")


if __name__ == "__main__":
    main()
