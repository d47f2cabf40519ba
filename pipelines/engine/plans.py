"""Plans: where the weights of one use lie while it runs, chosen by the bytes that fit. Pure; no torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.engine.policy import Offload, Policy

OFFLOADS: tuple[Offload, ...] = ("none", "model", "group", "sequential")
"""From the fastest to the one that needs the least memory: all on the device; each component while it is used; each
block of a component too large for that; each layer."""

DECODED_AT_ONCE = 4
"""Pictures of the VAE's second width, at full size, that its last upsampling holds: what was upsampled, the
convolution's result, and what the norm and the activation make of it. Measured on a CPU, 258 MiB were taken for
256 x 256 pixels in float32 and 498 MiB for 512 x 512 in bfloat16; 256 and 512 are foreseen."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What a use asks of the device, in bytes: the weights of each component, those of the largest block in any of
    them, and what decoding a picture takes beside them."""

    parts: Mapping[str, int]
    largest_block: int = 0
    decode: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """How one use runs. `vae_tiling` is for pictures larger than a tile."""

    offload: Offload = "none"
    vae_tiling: bool = False

    def __str__(self) -> str:
        places = {
            "none": "all weights on the device",
            "model": "each component on the device only while it is used",
            "group": "one block of weights on the device at a time",
            "sequential": "one layer on the device at a time",
        }
        return places[self.offload] + (", the VAE in tiles" if self.vae_tiling else "")


def plans_for(policy: Policy, demand: Demand) -> tuple[Plan, ...]:
    """The plans for a use: the first is the one to take, each further one needs less memory. Only the first of them
    changes pixels, by its tiles."""
    weights = sum(demand.parts.values())
    weights = weights if policy.device == "cpu" else min(weights, policy.resident_limit)
    left = policy.device_memory - max(policy.memory_budget, weights)
    tiled = policy.vae_tiling == "always" or demand.decode > left
    if policy.offload != "auto":
        return (Plan(policy.offload, tiled),)
    first = OFFLOADS.index(_offload(policy.resident_limit, demand))
    return tuple(Plan(offload, tiled) for offload in OFFLOADS[first:])


def _offload(limit: int, demand: Demand) -> Offload:
    sizes = demand.parts.values()
    if sum(sizes) <= limit:
        return "none"
    if max(sizes) <= limit:
        return "model"
    return "group" if demand.largest_block <= limit else "sequential"


def decoding_bytes(vae_config: Mapping[str, Any], size: tuple[int, int], itemsize: int) -> int:
    """What decoding a picture of `size` (width, height) takes at its peak, in numbers of `itemsize` bytes."""
    widths = vae_config["block_out_channels"]
    return size[0] * size[1] * widths[min(1, len(widths) - 1)] * itemsize * DECODED_AT_ONCE
