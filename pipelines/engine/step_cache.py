"""Steps that reuse the last one's answer, where diffusers knows how: the First Block Cache of
https://github.com/chengzeyi/ParaAttention, for transformers."""

import contextlib
from collections.abc import Iterator
from typing import Any

from diffusers import FirstBlockCacheConfig


def can_reuse(denoiser: Any) -> bool:
    """Whether diffusers has a step cache for this architecture."""
    return hasattr(denoiser, "enable_cache")


@contextlib.contextmanager
def reusing(denoiser: Any, threshold: float) -> Iterator[None]:
    """Until the block is left, a step of `denoiser` whose first block answers within `threshold` (relative) of the
    last computed step takes the rest from there. 0 computes every step, as does an architecture without a cache."""
    if not threshold or not can_reuse(denoiser):
        yield
        return
    denoiser.enable_cache(FirstBlockCacheConfig(threshold=threshold))
    try:
        yield
    finally:
        denoiser.disable_cache()
