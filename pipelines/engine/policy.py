"""What is done with the machine: `decide` is a pure function of hardware and settings, its answer is printable."""

import math
import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from presets.errors import UserError
from presets.settings import Settings, WeightStorage

Dtype = Literal["float32", "float16", "bfloat16"]
Attention = Literal["xformers", "sdpa", "sliced"]
Offload = Literal["none", "model", "group", "sequential"]

SMALL_MODEL = 30_000_000
"""UNets with fewer numbers than this stay in float32 on CPUs. Measured with AMX on one core, a step took 1.06 times as
long as in bfloat16 at 13 million numbers and 1.5 to 2 times at 50 million: below, rounding would gain nothing."""

RESIDENT_SHARE = 0.75
"""Of a GPU's memory, for the weights of one checkpoint. The rest is for what is computed: a step of SDXL at 1024 x 1024
pixels with guidance takes about 2 GiB."""

PACKAGES = {"int8": "torchao", "nf4": "bitsandbytes"}
"""What a way to keep weights needs beside PyTorch."""

HEADS = ((77, 1, 160), (1024, 8, 40))
"""Tokens, heads and their width that attention is tried with: the widest head of Stable Diffusion 1.x, and many
narrow ones."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """What was found. `memory` in bytes (the device's own on CUDA), `main_memory` that of the machine beside it, `cpus`
    those this process may use.

    `capability` is CUDA's compute capability; `xformers_dtypes` are the precisions in which its kernel was run here and
    gave the right numbers. `packages` are those of `PACKAGES` that are installed.
    """

    device: Literal["cpu", "cuda"]
    name: str
    memory: int
    cpus: int
    amx: bool = False
    avx512_bf16: bool = False
    capability: tuple[int, int] | None = None
    xformers_dtypes: tuple[Dtype, ...] = ()
    main_memory: int = 0
    packages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Policy:
    """What was decided.

    `small_dtype` is for UNets under `SMALL_MODEL`, `channels_last` for weights in less than float32 (there it slows),
    `memory_budget` and `ram_budget` (of main memory, beside a GPU) in bytes of weights, `preview_interval` in seconds
    (0: no previews). Attention is by xformers in the precisions of `xformers_dtypes`, else by `attention`. With
    `offload` "auto" it follows from the bytes of each checkpoint (`plans.py`), of which `resident_limit` may be on the
    device at once; what `device_memory` has beside weights is for what is computed.
    """

    device: Literal["cpu", "cuda"]
    dtype: Dtype
    small_dtype: Dtype
    attention: Literal["sdpa", "sliced"]
    channels_last: bool
    threads: int
    memory_budget: int
    resident_limit: int
    device_memory: int
    xformers_dtypes: tuple[Dtype, ...] = ()
    offload: Literal["auto"] | Offload = "none"
    vae_tiling: Literal["auto", "always"] = "auto"
    weight_storage: WeightStorage = "full"
    compile: bool = False
    ram_budget: int = 0
    preview_interval: float = 0.25

    def dtype_for(self, parameters: int) -> Dtype:
        """The precision for a checkpoint whose UNet holds `parameters` numbers."""
        return self.small_dtype if parameters < SMALL_MODEL else self.dtype

    def attention_for(self, dtype: str) -> Attention:
        """What computes attention in that precision."""
        return "xformers" if dtype in self.xformers_dtypes else self.attention

    @property
    def budgets(self) -> dict[Literal["gpu", "ram"], int]:
        """Bytes of weights for each tier of memory, the one that models run from first."""
        if self.device == "cpu":
            return {"ram": self.memory_budget}
        return {"gpu": self.memory_budget, "ram": self.ram_budget}

    def __str__(self) -> str:
        attention = self.attention_for(self.dtype)
        small = "" if self.small_dtype == self.dtype else f" ({self.small_dtype} for small models)"
        return (
            f"{self.device}, {self.dtype}{small}, attention by {attention}, {self.threads} threads, "
            f"{self.memory_budget / 2**30:.1f} GiB for weights"
            + (", compiled" if self.compile else "")
            + ("" if self.weight_storage == "full" else f", kept in {self.weight_storage}")
            + ("" if self.offload in ("auto", "none") else f", offload by {self.offload}")
            + (f", {self.ram_budget / 2**30:.1f} GiB of main memory" if self.device == "cuda" else "")
        )


def decide(hardware: Hardware, settings: Settings) -> Policy:
    """The policy for `hardware` under `settings`. Always the same answer for the same arguments.

    Raises `UserError` for a setting that this hardware cannot follow.
    """
    _check(hardware, settings)
    on_cuda = hardware.device == "cuda"
    best: Dtype = "float16" if on_cuda else "bfloat16" if hardware.amx else "float32"
    dtype = best if settings.dtype == "auto" else settings.dtype
    small: Dtype = "float32" if settings.dtype == "auto" and not on_cuda else dtype
    budget = hardware.memory // 2 if settings.memory_budget is None else settings.memory_budget
    limit = max(budget, int(hardware.memory * RESIDENT_SHARE)) if settings.memory_budget is None else budget
    return Policy(
        device=hardware.device,
        dtype=dtype,
        small_dtype=small,
        attention="sliced" if settings.attention == "sliced" else "sdpa",
        channels_last=dtype != "float32",
        threads=settings.threads or hardware.cpus,
        memory_budget=budget,
        resident_limit=limit,
        device_memory=hardware.memory,
        xformers_dtypes=hardware.xformers_dtypes if settings.attention in ("auto", "xformers") else (),
        offload=settings.offload if on_cuda else "none",
        vae_tiling=settings.vae_tiling,
        weight_storage=settings.weight_storage,
        compile=settings.compile,
        ram_budget=hardware.main_memory // 2 if settings.ram_budget is None else settings.ram_budget,
        preview_interval=settings.preview_interval,
    )


def _check(hardware: Hardware, settings: Settings) -> None:
    if settings.device != "auto" and settings.device != hardware.device:
        raise UserError(f"There is no {settings.device} device on this machine, only {hardware.name}.", code="E-DEVICE")
    if settings.attention == "xformers" and not hardware.xformers_dtypes:
        raise UserError(
            f"xformers does not run on this machine ({hardware.name}); choose auto or sdpa as attention.",
            code="E-DEVICE",
        )
    if settings.offload not in ("auto", "none") and hardware.device == "cpu":
        raise UserError(
            f"Offload {settings.offload!r} needs a GPU, and this machine has none; choose auto or none.",
            code="E-DEVICE",
        )
    package = PACKAGES.get(settings.weight_storage)
    if package is not None and package not in hardware.packages:
        raise UserError(
            f"Weights are kept in {settings.weight_storage} by {package}, which is not installed; run: "
            f"pip install {package}",
            code="E-DEVICE",
        )
    if settings.compile and settings.weight_storage != "full":
        raise UserError(
            f"Weights in {settings.weight_storage} cannot be compiled; choose one of the two settings.", code="E-DEVICE"
        )
    if settings.dtype == "float16" and hardware.device == "cpu":
        raise UserError("float16 does not run well on a CPU; choose auto, float32 or bfloat16.", code="E-DEVICE")


def detect(settings: Settings) -> Hardware:
    """Look at the machine: the GPU unless the settings say CPU or there is none. Imports torch; on CUDA it runs
    xformers' kernel once. Nothing is timed, so that a restart finds the same."""
    import torch

    packages = tuple(package for package in PACKAGES.values() if find_spec(package) is not None)
    if settings.device != "cpu" and torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        return Hardware(
            device="cuda",
            name=properties.name,
            memory=properties.total_memory,
            cpus=usable_cpus(),
            capability=(properties.major, properties.minor),
            xformers_dtypes=_xformers_dtypes() if settings.attention in ("auto", "xformers") else (),
            main_memory=usable_memory(),
            packages=packages,
        )
    flags = _cpu_flags()
    return Hardware(
        device="cpu",
        name="CPU",
        memory=usable_memory(),
        cpus=usable_cpus(),
        amx="amx_bf16" in flags,
        avx512_bf16="avx512_bf16" in flags,
        packages=packages,
    )


def usable_cpus() -> int:
    """Processors that this process may use: by affinity, and by the container's quota."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, _, period = _read(Path("/sys/fs/cgroup/cpu.max")).partition(" ")
    if quota.isdigit() and period.strip().isdigit():
        cpus = min(cpus, math.ceil(int(quota) / int(period)))
    return max(1, cpus)


def usable_memory() -> int:
    """Bytes of main memory, or of the container's share."""
    import psutil

    total = psutil.virtual_memory().total
    limit = _read(Path("/sys/fs/cgroup/memory.max")).strip()
    return min(total, int(limit)) if limit.isdigit() else total


def _cpu_flags() -> frozenset[str]:
    for line in _read(Path("/proc/cpuinfo")).splitlines():
        if line.startswith("flags"):
            return frozenset(line.split(":", 1)[1].split())
    return frozenset()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def _xformers_dtypes() -> tuple[Dtype, ...]:
    """The precisions in which its kernel runs here."""
    dtypes: tuple[Dtype, ...] = ("float16", "bfloat16", "float32")
    return tuple(dtype for dtype in dtypes if all(_xformers_runs(dtype, *shape) for shape in HEADS))


def _xformers_runs(dtype: Dtype, tokens: int, heads: int, width: int) -> bool:
    """Run its kernel once and compare it with PyTorch's.

    That the package can be imported proves nothing: its compiled part may not fit this torch or card.
    """
    import torch

    try:
        from xformers.ops import memory_efficient_attention

        numbers = torch.linspace(-1, 1, tokens * heads * width, device="cuda").sin()
        query = numbers.to(getattr(torch, dtype)).reshape(1, tokens, heads, width)
        result = memory_efficient_attention(query, query, query)
    except (ImportError, OSError, RuntimeError, NotImplementedError, ValueError):
        return False
    rows = query.transpose(1, 2).float()
    expected = torch.nn.functional.scaled_dot_product_attention(rows, rows, rows).transpose(1, 2)
    return bool(torch.allclose(result.float(), expected, atol=2e-2))
