"""The attention of a UNet or transformer, as a `with`: which kernel computes it is chosen apart from the weights."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from typing import Any

from diffusers.models import attention_processor
from diffusers.models.attention_dispatch import attention_backend

from pipelines.engine.policy import Attention

_UNET = {
    "xformers": cache(attention_processor.XFormersAttnProcessor),
    "sliced": cache(partial(attention_processor.SlicedAttnProcessor, slice_size=1)),
}
_PROCESSORS: Mapping[type, Mapping[str, Callable[[], Any]]] = {
    attention_processor.AttnProcessor2_0: _UNET,
    attention_processor.AttnProcessor: _UNET,
    attention_processor.JointAttnProcessor2_0: {"xformers": cache(attention_processor.XFormersJointAttnProcessor)},
}
"""What stands in for a processor that calls PyTorch's attention by itself. One for all: they have no state, and what is
compiled would notice another."""


@contextlib.contextmanager
def attending(denoiser: Any, attention: Attention) -> Iterator[Attention]:
    """Until the block is left, `denoiser` computes its attention so; then its processors are the very ones it had.

    Gives what it computes by: "sdpa" where there is no other way for its architecture. Processors of adapters stay.
    """
    modules = denoiser.modules() if attention != "sdpa" else ()
    attentions = [module for module in modules if hasattr(module, "processor")]
    own = [(module, module.processor) for module in attentions]
    chosen = [
        (module, make) for module, processor in own if (make := _PROCESSORS.get(type(processor), {}).get(attention))
    ]
    dispatched = attention == "xformers" and any(hasattr(processor, "_attention_backend") for _, processor in own)
    with attention_backend("xformers") if dispatched else contextlib.nullcontext():
        try:
            for module, make in chosen:
                module.processor = make()
            yield attention if chosen or dispatched else "sdpa"
        finally:
            for module, processor in own:
                module.processor = processor
