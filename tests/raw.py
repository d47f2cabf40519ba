"""diffusers alone, beside which a runner's pictures are held."""

from typing import Any

import torch
from PIL import Image

from pipelines.engine import samplers
from presets.drawing import Drawing


def raw_picture(pipe: Any, request: Drawing, **given: Any) -> Image.Image:
    """What diffusers alone makes of the request with what else its pipeline is given."""
    own, pipe.scheduler = pipe.scheduler, samplers.build(request.sampler, request.schedule, pipe.scheduler.config)
    try:
        return pipe(
            request.prompt,
            negative_prompt=request.negative_prompt,
            generator=torch.Generator().manual_seed(request.seed),
            num_inference_steps=request.steps,
            guidance_scale=request.guidance_scale,
            **given,
        ).images[0]
    finally:
        pipe.scheduler = own
