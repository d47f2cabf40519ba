"""Many switches among four small checkpoints, each with one of six LoRAs or none, in memory for two.

    python -m benchmarks.soak [--switches 100] [--references 28]

Prints JSON. After each switch a picture is drawn. `over_budget` counts the times that memory, with what is kept for
LoRAs, did not return to the budget, `different` the pictures that are not the ones of a fresh process (of the first
picture of that choice, for choices beyond `references`), `slope_bytes` is by how much the resident set grows in 100
switches (least squares over the second half). Goals: 0, 0 and under 1 MB.
"""

import argparse
import hashlib
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
import torch

from pipelines.engine.catalog import Catalog
from pipelines.engine.manager import PipelineManager
from pipelines.engine.policy import Hardware, decide
from presets.drawing import LoraUse
from presets.settings import Settings
from tests.checkpoints import save_folder, tiny_sd1
from tests.loras import of_sd1, save_lora

NAMES = ("a", "b", "c", "d")
LORAS = ("ink", "wool", "chalk", "neon", "clay", "lace")
CHOICES = tuple(f"{name}+{lora}" for name in NAMES for lora in ("", *LORAS))
"""A checkpoint and, behind the plus, its LoRA."""


def main() -> None:
    options = _options()
    torch.set_num_threads(1)
    if options.draw:
        print(picture(manager(options.root, 2**33), options.draw))
        return
    with tempfile.TemporaryDirectory() as home:
        root = Path(home)
        for seed, name in enumerate(NAMES):
            save_folder(tiny_sd1(seed), root / "checkpoints" / name)
        for seed, name in enumerate(LORAS):
            save_lora(root, name, of_sd1(tiny_sd1(100 + seed)))
        print(json.dumps(_soak(root, options), indent=2))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--switches", type=int, default=100)
    parser.add_argument("--references", type=int, default=len(CHOICES))
    parser.add_argument("--draw", choices=CHOICES, help="only print what identifies the picture of this choice ...")
    parser.add_argument("--root", type=Path, help="... in this folder of models")
    return parser.parse_args()


def _soak(root: Path, options: argparse.Namespace) -> dict[str, float | int]:
    drawn_first = random.Random(0).sample(CHOICES, options.references)
    expected = {choice: _of_a_fresh_process(root, choice) for choice in drawn_first}
    probe = manager(root, 2**33)
    probe.load(NAMES[0])
    budget = int(probe.bytes_loaded * 2.2)
    probe.unload(NAMES[0])
    models = manager(root, budget)
    over = different = 0
    sizes: list[int] = []
    chance, choice = random.Random(0), CHOICES[0]
    for _ in range(options.switches):
        choice = chance.choice([other for other in CHOICES if other[0] != choice[0]])
        drawn = picture(models, choice)
        different += expected.setdefault(choice, drawn) != drawn
        over += models.bytes_loaded > budget
        sizes.append(_resident_bytes())
    return {
        "switches": options.switches,
        "over_budget": over,
        "different": different,
        "slope_bytes": round(slope(sizes[len(sizes) // 2 :]) * 100),
        "resident_bytes": sizes[-1],
    }


def manager(root: Path, budget: int) -> PipelineManager:
    settings = Settings(memory_budget=budget, threads=1)
    return PipelineManager(Catalog([root]), decide(Hardware("cpu", "CPU", 2**34, 1), settings), settings)


def picture(models: PipelineManager, choice: str) -> str:
    """A checksum of the picture that the checkpoint draws with its LoRA."""
    name, lora = choice.split("+")
    loras = (LoraUse(name=lora, strength=0.8),) if lora else ()
    with models.pipeline(name, loras=loras) as loaded, torch.no_grad():
        result = loaded.pipe(
            "a cat", width=32, height=32, num_inference_steps=2, generator=torch.Generator().manual_seed(3),
            output_type="np",
        )  # fmt: skip
    return hashlib.sha256(result.images.tobytes()).hexdigest()


def slope(values: list[int]) -> float:
    """By how much `values` grow from one to the next, by least squares."""
    return float(numpy.polyfit(range(len(values)), values, 1)[0]) if len(values) > 1 else 0.0


def _of_a_fresh_process(root: Path, choice: str) -> str:
    command = [sys.executable, "-m", "benchmarks.soak", "--draw", choice, "--root", str(root)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096


if __name__ == "__main__":
    main()
