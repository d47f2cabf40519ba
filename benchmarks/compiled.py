"""Compiled blocks, by PyTorch's real compiler: what they gain, and that LoRAs coming and going change nothing of that.

    python -m benchmarks.compiled [--rounds 5] [--threads 1] [--dtype float32] [--small]

Prints JSON. `first_seconds` is the first call, which waits for the compiler. `step_ratio` is the median over
interleaved rounds of a compiled call's seconds over a plain one's, guided, at 256 x 256 pixels. Then LoRAs are put on,
changed and taken off: `compilations` counts what was compiled before and after, which must be the same, and
`differences` are the greatest ones from the plain UNet's answers, beside `what_a_lora_changes`.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch._dynamo.utils import counters

from benchmarks.random_models import random_sd1, save_random_lora
from pipelines.engine.adapters import Adapters
from pipelines.engine.catalog import Catalog
from pipelines.engine.compiling import compile_blocks, interpreted
from pipelines.engine.lora_files import LoraFiles
from pipelines.engine.model import Model
from presets.drawing import LoraUse

INK, WOOL = LoraUse(name="ink", strength=0.8), LoraUse(name="wool", strength=-0.5)
USES: Sequence[tuple[LoraUse, ...]] = ((), (INK,), (INK, WOOL), (INK.model_copy(update={"strength": 0.3}), WOOL), ())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", default="float32", choices=("bfloat16", "float32"))
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    pipe = random_sd1(small=options.small).to(getattr(torch, options.dtype))
    for component in (pipe.unet, pipe.text_encoder):
        component.eval().requires_grad_(False)
    with tempfile.TemporaryDirectory() as folder:
        for use in (INK, WOOL):
            parts = {"lora_unet_": pipe.unet, "lora_te_text_model_": pipe.text_encoder}
            save_random_lora(Path(folder) / "loras" / f"{use.name}.safetensors", parts)
        print(json.dumps(_measure(pipe, Path(folder), options.rounds), indent=2))


def _measure(pipe: Any, root: Path, rounds: int) -> dict[str, Any]:
    answer = _answering(pipe, root)
    plain = [answer(uses) for uses in USES]
    compile_blocks(pipe.unet)
    first = _seconds(lambda: answer(()))
    compilations = [_compiled()]
    pairs = [(_seconds(lambda: answer(())), _plainly(pipe.unet, answer)) for _ in range(rounds)]
    differences = [float((answer(uses) - expected).abs().max()) for uses, expected in zip(USES, plain, strict=True)]
    return {
        "first_seconds": round(first, 2),
        "step_ratio": round(statistics.median(mine / other for mine, other in pairs), 3),
        "compilations": [*compilations, _compiled()],
        "differences": differences,
        "what_a_lora_changes": float((plain[1] - plain[0]).abs().max()),
    }


def _answering(pipe: Any, root: Path) -> Callable[[Sequence[LoraUse]], torch.Tensor]:
    model = Model("random", "sd1", None, "folder", (512, 512), 0, "epsilon", 0, "random")
    components = {"unet": pipe.unet, "text_encoder": pipe.text_encoder}
    adapters = Adapters(LoraFiles(Catalog((root,))))
    generator = torch.Generator().manual_seed(0)
    width = pipe.unet.config.cross_attention_dim
    arguments = [
        torch.randn(2, *shape, generator=generator).to(pipe.unet.dtype) for shape in ((4, 32, 32), (77, width))
    ]

    def answer(uses: Sequence[LoraUse]) -> torch.Tensor:
        with adapters.applied(components, model, uses, lambda _event: None), torch.inference_mode():
            return pipe.unet(arguments[0], 500, arguments[1]).sample.float()

    return answer


def _plainly(unet: Any, answer: Callable[[Sequence[LoraUse]], torch.Tensor]) -> float:
    with interpreted(unet):
        return _seconds(lambda: answer(()))


def _compiled() -> int:
    return int(counters["stats"]["unique_graphs"])


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
