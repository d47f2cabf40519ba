"""What a switch costs to a checkpoint of Stable Diffusion 1.5's real size: random weights, one float16 file of 2.1 GB.

    python -m benchmarks.switch [--rounds 3] [--dtype bfloat16] [--threads N] [--small]

Prints JSON. `cold` is beside `cat` of the file (both after the system was asked to forget it), `warm` beside a plain
copy of as many bytes into fresh memory by one thread, and beside one that converts; medians over interleaved rounds.
The switch itself takes the threads that the policy takes here, or `--threads`. `resident` is the switch back to a
checkpoint that is in memory, `second_task` another pipeline of it. `peak_over_file` is the memory needed beyond what
stays loaded, in sizes of the file. `diffusers` is its `from_single_file` (not with --small). Goals: `cold_ratio` and
`warm_ratio` at most 1.5, `peak_over_file` 1.4, `resident_milliseconds` 10, `second_task_milliseconds` 5.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionPipeline

from benchmarks.random_models import random_sd1
from pipelines.engine.catalog import Catalog
from pipelines.engine.manager import PipelineManager
from pipelines.engine.policy import decide, detect
from pipelines.engine.weights import Copier, new_block
from presets.settings import Settings
from tests.checkpoints import save_single_file


def main() -> None:
    options = _options()
    settings = Settings(device="cpu", threads=options.threads, dtype=options.dtype, memory_budget=2**36)
    policy = decide(detect(settings), settings)
    torch.set_num_threads(policy.threads)
    with tempfile.TemporaryDirectory(dir=options.folder) as home:
        path = Path(home) / "checkpoints" / "random.safetensors"
        configs = save_checkpoint(path, options.small)

        def manager() -> PipelineManager:
            return PipelineManager(Catalog([Path(home)]), policy, settings)

        report = (
            {"threads": policy.threads}
            | _cold_and_warm(path, manager, options)
            | _in_memory(manager())
            | _peak(path, manager())
        )
        if not options.small:
            report["diffusers"] = _diffusers(path, configs, options)
    print(json.dumps({name: _rounded(value) for name, value in report.items()}, indent=2))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--folder", type=Path, default=None, help="where the file lies meanwhile")
    parser.add_argument("--small", action="store_true")
    return parser.parse_args()


def save_checkpoint(path: Path, small: bool) -> Path:
    """Write the checkpoint with random weights, and beside its folder one of its configs, which is returned."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pipe = random_sd1(small=small).to(torch.float16)
    configs = path.parent.parent / "configs"
    for part in ("unet", "vae", "scheduler"):
        getattr(pipe, part).save_config(configs / part)
    pipe.text_encoder.config.save_pretrained(configs / "text_encoder")
    pipe.tokenizer.save_pretrained(configs / "tokenizer")
    pipe.save_config(configs)
    save_single_file(pipe, path)
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return configs


def _cold_and_warm(path: Path, manager: Callable[[], PipelineManager], options: argparse.Namespace) -> dict[str, Any]:
    seconds: dict[str, list[float]] = {}

    def measure(name: str, work: Callable[[], Any]) -> None:
        began = time.perf_counter()
        result = work()
        seconds.setdefault(name, []).append(time.perf_counter() - began)
        del result

    source = torch.zeros(path.stat().st_size // 2, dtype=torch.float16)
    plain = source.numpy().data.cast("B")
    dtype = getattr(torch, options.dtype)
    _switch(manager())
    for _ in range(options.rounds):
        forget(path)
        measure("cat", lambda: subprocess.run(["cat", str(path)], stdout=subprocess.DEVNULL, check=True))
        forget(path)
        measure("cold", lambda: _switch(manager()))
        measure("warm", lambda: _switch(manager()))
        measure("copy", lambda: bytes(plain))
        measure("converting_copy", lambda: _converted(source, dtype))
    return {
        "file_bytes": path.stat().st_size,
        **{f"{name}_seconds": statistics.median(values) for name, values in seconds.items()},
        "cold_ratio": _ratio(seconds, "cold", "cat"),
        "warm_ratio": _ratio(seconds, "warm", "copy"),
        "warm_over_converting_copy": _ratio(seconds, "warm", "converting_copy"),
    }


def _ratio(seconds: dict[str, list[float]], above: str, below: str) -> float:
    return statistics.median(mine / other for mine, other in zip(seconds[above], seconds[below], strict=True))


def _switch(manager: PipelineManager) -> PipelineManager:
    manager.load("random")
    return manager


def _converted(source: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    target = new_block(source.numel() * dtype.itemsize).view(dtype)
    Copier().copy(target, source)
    return target


def forget(path: Path) -> None:
    """Ask the system to drop its copy of the file."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _in_memory(manager: PipelineManager) -> dict[str, Any]:
    for name in ("random", ""):
        with manager.pipeline(name, "image-to-image"):  # so that its module is imported
            pass
    began = time.perf_counter()
    manager.load("random")
    middle = time.perf_counter()
    with manager.pipeline("random", "image-to-image"):
        ended = time.perf_counter()
    return {"resident_milliseconds": (middle - began) * 1000, "second_task_milliseconds": (ended - middle) * 1000}


def _peak(path: Path, manager: PipelineManager) -> dict[str, Any]:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
    manager.load("random")
    memory = _memory()
    return {"peak_over_file": (memory["VmHWM"] - memory["VmRSS"]) / path.stat().st_size}


def _memory() -> dict[str, int]:
    """Of this process, now and at most, in bytes."""
    lines = (line.split() for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines())
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines if words[0] in ("VmHWM:", "VmRSS:")}


def _diffusers(path: Path, configs: Path, options: argparse.Namespace) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, prepare in (("cold", forget), ("warm", lambda _: None)):
        prepare(path)
        began = time.perf_counter()
        StableDiffusionPipeline.from_single_file(
            str(path), config=str(configs), local_files_only=True, dtype=getattr(torch, options.dtype)
        )
        result[f"{name}_seconds"] = round(time.perf_counter() - began, 4)
    return result


def _rounded(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value


if __name__ == "__main__":
    main()
