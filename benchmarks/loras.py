"""What two LoRAs cost at Stable Diffusion 1.5's real size (random weights, rank 16, 264 layers each; with --unet the
UNet's 192 alone), here and with diffusers, interleaved in one process.

    python -m benchmarks.loras [--rounds 3] [--threads 1] [--dtype bfloat16] [--device cpu] [--unet] [--small]

Prints JSON; seconds are medians over the rounds, each of `merge` and `restore` together what a job pays: for two LoRAs
that are parked, after a job without (`job_cost`), for those of the job before with one other strength
(`change_one_strength`) or one more LoRA (`add_one`), or for the very same (`repeat`). Goals on one core in bfloat16:
`job_cost` at most 0.5 s, a change at most 0.3 s, `identical` weights afterwards, and a step with LoRAs at most 3 %
slower than the one without just before. These seconds were set where `floor`, 192 weights of the UNet that one LoRA is
added to in place by plain PyTorch, took 0.11 s; `change_over_floor` compares with it: goal 2.7.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

NAMES = ("ink", "wool")


def main() -> None:
    options = options_of()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    print(json.dumps(measure(options), indent=2))


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """The report that is printed."""
    import torch
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging

    from benchmarks.random_models import save_random_lora

    torch.set_num_threads(options.threads)
    diffusers_logging.set_verbosity_error()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    pipe = _pipeline(options.small, getattr(torch, options.dtype), options.device)
    with tempfile.TemporaryDirectory() as folder:
        for name in NAMES:
            parts = {"lora_unet_": pipe.unet} | ({} if options.unet else {"lora_te_text_model_": pipe.text_encoder})
            save_random_lora(Path(folder) / "loras" / f"{name}.safetensors", parts)
        rounds = [dict(_round(pipe, Path(folder))) for _ in range(options.rounds)]
    seconds = {name: round(statistics.median(each[name] for each in rounds), 4) for name in rounds[0]}
    identical = all(each["identical"] for each in rounds)
    return {
        **{name: getattr(options, name) for name in ("dtype", "device", "threads", "unet", "small")},
        "seconds": {name: value for name, value in seconds.items() if name != "identical"},
        "identical": identical,
        **{name: _cost(seconds, name) for name in ("job_cost", "repeat", "change_one_strength", "add_one")},
        "change_over_floor": round(_cost(seconds, "change_one_strength") / seconds["floor"], 2),
        "step_ratio": round(seconds["step_job_cost"] / seconds["step_none"], 3),
        "diffusers_step_ratio": round(seconds["diffusers_step_unfused"] / seconds["step_without"], 3),
        "diffusers_fused_job_cost_ratio": round(
            (seconds["diffusers_fuse"] + seconds["diffusers_unfuse"]) / _cost(seconds, "job_cost"), 2
        ),
    }


def _cost(seconds: Mapping[str, float], use: str) -> float:
    """What a use of LoRAs costs beside its steps."""
    return round(seconds[f"merge_{use}"] + seconds[f"restore_{use}"], 4)


def options_of(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", default="bfloat16", choices=("bfloat16", "float16", "float32"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--unet", action="store_true", help="LoRAs that leave the text encoder as it is")
    parser.add_argument("--small", action="store_true", help="a tiny model of the same kind, to try the script")
    return parser.parse_args(arguments)


def _pipeline(small: bool, dtype: Any, device: str) -> Any:
    """UNet and text encoder of the real architecture with random weights; nothing decodes."""
    import torch
    from accelerate import init_empty_weights
    from diffusers import DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    from pipelines.engine.families import CONFIGS

    unet_config: dict[str, Any] = {"cross_attention_dim": 768}
    text_config: dict[str, Any] = {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_attention_heads": 12,
        "num_hidden_layers": 12,
        "hidden_act": "quick_gelu",
        "projection_dim": 768,
    }
    if small:
        unet_config |= {"block_out_channels": (32, 64, 64, 64), "attention_head_dim": 8, "cross_attention_dim": 64}
        text_config |= {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 2, "num_hidden_layers": 2}
    with init_empty_weights():
        unet = UNet2DConditionModel(sample_size=64, **unet_config)
        text_encoder = CLIPTextModel(CLIPTextConfig(**text_config))
    noise = torch.randn(2**22, generator=torch.Generator().manual_seed(0), dtype=torch.float32) * 0.02
    for component in (unet, text_encoder):
        component.to(dtype).to_empty(device=device)
        for tensor in component.parameters():
            tensor.data.copy_(noise.repeat(-(-tensor.numel() // len(noise)))[: tensor.numel()].view(tensor.shape))
        component.eval().requires_grad_(False)
    scheduler = DDIMScheduler(steps_offset=1, clip_sample=False)
    pipeline_class: Any = StableDiffusionPipeline
    return pipeline_class(
        tokenizer=CLIPTokenizer.from_pretrained(CONFIGS / "clip"), text_encoder=text_encoder, unet=unet,
        vae=None, scheduler=scheduler, safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip


def _round(pipe: Any, root: Path) -> Iterator[tuple[str, float]]:
    step = _step(pipe)
    step()
    yield "step_without", _seconds(step)
    yield "floor", _floor(pipe.unet)
    yield from _ours(pipe, root, step)
    yield from _of_diffusers(pipe, root / "loras", step)


def _floor(unet: Any) -> float:
    """Seconds of adding products of low rank to copies of the UNet's weights in place: what merging cannot go below."""

    from benchmarks.random_models import RANK, TARGETS

    weights = [module.weight for name, module in unet.named_modules() if name.endswith(TARGETS)]
    copies = [weight.data.flatten(1).clone() for weight in weights]
    sides = [(copy.new_zeros(copy.shape[0], RANK), copy.new_zeros(RANK, copy.shape[1])) for copy in copies]

    def merge() -> None:
        for copy, (up, down) in zip(copies, sides, strict=True):
            copy.addmm_(up, down)

    merge()
    return _seconds(merge)


def _ours(pipe: Any, root: Path, step: Callable[[], Any]) -> Iterator[tuple[str, float]]:
    import torch

    from pipelines.engine.adapters import Adapters
    from pipelines.engine.catalog import Catalog
    from pipelines.engine.lora_files import LoraFiles
    from pipelines.engine.model import Model
    from presets.drawing import LoraUse

    model = Model("random", "sd1", None, "folder", (512, 512), 0, "epsilon", 0, "random")
    components = {"unet": pipe.unet, "text_encoder": pipe.text_encoder}
    adapters = Adapters(LoraFiles(Catalog((root,))))
    before = [tensor.clone() for tensor in pipe.unet.parameters()]

    def using(label: str, strengths: Sequence[float]) -> Iterator[tuple[str, float]]:
        uses = [LoraUse(name=name, strength=strength) for name, strength in zip(NAMES, strengths, strict=False)]
        stack = ExitStack()
        merging = adapters.applied(components, model, uses, lambda _event: None)
        yield f"merge_{label}", _seconds(lambda: stack.enter_context(merging))
        yield f"step_{label}", _seconds(step)
        yield f"restore_{label}", _seconds(stack.close)

    yield from using("first", [0.8, 0.8])
    yield from using("none", [])
    yield from using("other", [0.7, 0.7])
    yield from using("none", [])
    yield from using("job_cost", [0.8, 0.8])
    yield from using("repeat", [0.8, 0.8])
    yield from using("change_one_strength", [0.8, 0.7])
    yield from using("one", [0.8])
    yield from using("add_one", [0.8, 0.6])
    pairs = zip(before, pipe.unet.parameters(), strict=True)
    yield "identical", float(all(torch.equal(old, new) for old, new in pairs))


def _of_diffusers(pipe: Any, folder: Path, step: Callable[[], Any]) -> Iterator[tuple[str, float]]:
    def load(name: str) -> None:
        pipe.load_lora_weights(folder, weight_name=f"{name}.safetensors", adapter_name=name)

    yield "diffusers_load_first", _seconds(lambda: load(NAMES[0]))
    yield "diffusers_load_second", _seconds(lambda: load(NAMES[1]))
    yield "diffusers_set_adapters", _seconds(lambda: pipe.set_adapters(list(NAMES), [0.8, 0.8]))
    yield "diffusers_step_unfused", _seconds(step)
    yield "diffusers_fuse", _seconds(lambda: pipe.fuse_lora(adapter_names=list(NAMES)))
    yield "diffusers_unfuse", _seconds(pipe.unfuse_lora)
    yield "diffusers_unload", _seconds(pipe.unload_lora_weights)


def _step(pipe: Any) -> Callable[[], Any]:
    """One call of the UNet, guided, at 256 x 256 pixels."""
    import torch

    unet = pipe.unet
    latents = torch.zeros(2, 4, 32, 32, dtype=unet.dtype, device=unet.device)
    words = torch.zeros(2, 77, unet.config.cross_attention_dim, dtype=unet.dtype, device=unet.device)

    def step() -> None:
        with torch.inference_mode():
            unet(latents, 500, words)

    return step


def _seconds(work: Callable[[], Any]) -> float:
    import torch

    began = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
