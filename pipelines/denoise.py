"""The one place that calls a diffusers pipeline: noise to latents step by step, latents to a picture."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import tomesd
import torch
from PIL import Image

from pipelines.engine import samplers
from pipelines.engine.conditioning import Conditioning
from pipelines.engine.errors import BrokenPicture
from pipelines.engine.jobs import Progress
from pipelines.engine.preview import PREVIEW_INTERVAL, LatentMap, Pace, jpeg, thumbnail
from presets.requests import TextToImage


@dataclass(frozen=True, slots=True)
class Watch:
    """Who watches a run: `report` is told of every step and may raise, which ends the run.

    The run makes picture `picture` of `pictures`, counted from 1. Without a `latent_map` there are no
    previews; else one at most every `preview_interval` seconds.
    """

    report: Callable[[Progress], None]
    picture: int = 1
    pictures: int = 1
    latent_map: LatentMap | None = None
    preview_interval: float = PREVIEW_INTERVAL


@torch.no_grad()
def denoise(pipe: Any, conditioning: Conditioning, request: TextToImage, watch: Watch) -> torch.Tensor:
    """Latents of `request` (one picture, resolved), scaled, shape (1, channels, height / 8, width / 8).

    All noise comes from a CPU generator with the request's seed, so that the device does not matter. `pipe` is left
    as it was, also where `watch.report` raises.
    """
    assert request.width and request.height
    generator = torch.Generator("cpu").manual_seed(request.seed)
    shape = (
        1,
        pipe.unet.config.in_channels,
        request.height // pipe.vae_scale_factor,
        request.width // pipe.vae_scale_factor,
    )
    noise = torch.randn(shape, generator=generator, dtype=torch.float32)
    with (
        _scheduler(pipe, request),
        _merged_tokens(pipe.unet, request.token_merging),
        _Steps(pipe, request, watch) as steps,
    ):
        return pipe(
            **_embeddings(pipe, conditioning),
            latents=noise.to(pipe._execution_device, conditioning.prompt.dtype),
            generator=generator,
            width=request.width,
            height=request.height,
            num_inference_steps=request.steps,
            guidance_scale=request.guidance_scale if request.guidance_end else 1.0,
            eta=samplers.TCD_ETA,
            output_type="latent",
            return_dict=False,
            callback_on_step_end=steps.step_ended,
            callback_on_step_end_tensor_inputs=steps.tensors,
        )[0]


@torch.no_grad()
def decode(pipe: Any, latents: torch.Tensor, checkpoint: str) -> Image.Image:
    """The picture of `latents`. Raises `BrokenPicture` where it holds NaN even in full precision."""
    half = pipe.vae.dtype == torch.float16
    pixels = None if half and _overflows(pipe) else _decoded(pipe.vae, latents)
    if half and (pixels is None or not pixels.isfinite().all()):
        with _full_precision(pipe.vae):
            pixels = _decoded(pipe.vae, latents.float())
    if pixels is None or not pixels.isfinite().all():
        raise BrokenPicture(checkpoint)
    return pipe.image_processor.postprocess(pixels, output_type="pil")[0]


def _overflows(pipe: Any) -> bool:
    """Whether the VAE is known to overflow in float16: SDXL's says so; SD 1.x's says so too, wrongly."""
    return getattr(pipe, "text_encoder_2", None) is not None and pipe.vae.config.force_upcast


@contextlib.contextmanager
def _full_precision(vae: Any) -> Iterator[None]:
    """float16 to float32 and back loses nothing."""
    vae.to(torch.float32)
    try:
        yield
    finally:
        vae.to(torch.float16)


def _decoded(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """Pixels (1, 3, height, width), nearly in [-1, 1]."""
    mean, deviation = vae.config.get("latents_mean"), vae.config.get("latents_std")
    values = latents.to(vae.device, vae.dtype)
    if mean is not None and deviation is not None:
        scale = values.new_tensor(deviation).view(1, -1, 1, 1) / vae.config.scaling_factor
        values = values * scale + values.new_tensor(mean).view(1, -1, 1, 1)
    else:
        values = values / vae.config.scaling_factor
    return vae.decode(values, return_dict=False)[0]


@contextlib.contextmanager
def _scheduler(pipe: Any, request: TextToImage) -> Iterator[None]:
    """The request's sampler in `pipe`; afterwards its own again, and offloaded parts back in their place."""
    own = pipe.scheduler
    pipe.scheduler = samplers.build(request.sampler, request.schedule, own.config)
    try:
        yield
    except BaseException:
        pipe.maybe_free_model_hooks()
        raise
    finally:
        pipe.scheduler = own


@contextlib.contextmanager
def _merged_tokens(unet: Any, share: float) -> Iterator[None]:
    """Token merging (https://arxiv.org/abs/2303.17604) where the UNet's attention is finest, without chance."""
    if not share:
        yield
        return
    finest = next((2**level for level, kind in enumerate(unet.config.down_block_types) if "Attn" in kind), 1)
    tomesd.apply_patch(unet, ratio=share, max_downsample=finest, use_rand=False)
    try:
        yield
    finally:
        tomesd.remove_patch(unet)


def _embeddings(pipe: Any, conditioning: Conditioning) -> dict[str, torch.Tensor | None]:
    device = pipe._execution_device
    given = {
        "prompt_embeds": conditioning.prompt,
        "negative_prompt_embeds": conditioning.negative,
        "pooled_prompt_embeds": conditioning.pooled,
        "negative_pooled_prompt_embeds": conditioning.negative_pooled,
    }
    return {name: tensor.to(device) for name, tensor in given.items() if tensor is not None}


_PAIRED = ("prompt_embeds", "add_text_embeds", "add_time_ids")
"""What diffusers hands to the UNet in pairs, negative and positive, while guidance is on."""


class _Steps:
    """As a `with`, follows the UNet of a run, and reports each step to its watch with a preview now and then.

    The preview is of the finished picture as the model foresees it: what the UNet read is the same mixture of picture
    and noise for every sampler, and its answer tells them apart.
    """

    def __init__(self, pipe: Any, request: TextToImage, watch: Watch):
        self._pipe = pipe
        self._steps = request.steps
        self._guidance_end = request.guidance_end
        self.tensors = [name for name in _PAIRED if name in pipe._callback_tensor_inputs]
        self._watch = watch
        self._pace = Pace(watch.preview_interval)
        self._done = 0
        self._started = 0.0
        self._seen: tuple[torch.Tensor, Any, torch.Tensor] | None = None

    def __enter__(self) -> "_Steps":
        self._hook = self._pipe.unet.register_forward_hook(self._see)
        self._started = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self._hook.remove()
        self._seen = None

    def step_ended(self, pipe: Any, call: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        """diffusers' callback after each call of the UNet, of which some samplers make two a step."""
        self._report(pipe, call)
        return self._unguided(pipe, call, tensors)

    def _unguided(self, pipe: Any, call: int, tensors: dict[str, Any]) -> dict[str, Any]:
        """The positive halves of `tensors` from `guidance_end` on, as diffusers' `SDCFGCutoffCallback` has it."""
        if not pipe.do_classifier_free_guidance or call + 1 < self._guidance_end * pipe.num_timesteps:
            return {}
        pipe._guidance_scale = 1.0
        return {name: tensor.chunk(2)[1] for name, tensor in tensors.items()}

    def _report(self, pipe: Any, call: int) -> None:
        done = (call + 1) * self._steps // pipe.num_timesteps
        if done > self._done:
            self._done = done
            seconds = time.perf_counter() - self._started
            self._watch.report(
                Progress(
                    picture=self._watch.picture,
                    pictures=self._watch.pictures,
                    step=done,
                    steps=self._steps,
                    seconds=seconds,
                    remaining=seconds / done * (self._steps - done),
                    preview=self._preview(),
                )
            )

    def _see(self, unet: Any, arguments: tuple[Any, ...], output: Any) -> None:  # noqa: ARG002
        self._seen = (arguments[0], arguments[1], output[0])

    def _preview(self) -> bytes | None:
        if self._watch.latent_map is None or self._seen is None or not self._pace.due():
            return None
        return jpeg(thumbnail(self._foreseen(*self._seen), self._watch.latent_map))

    def _foreseen(self, sample: torch.Tensor, timestep: Any, output: torch.Tensor) -> torch.Tensor:
        """The latents without noise: equations 12 and 15 of https://arxiv.org/abs/2202.00512, guidance applied."""
        if self._pipe.do_classifier_free_guidance:
            negative, positive = output.chunk(2)
            output = negative + self._pipe.guidance_scale * (positive - negative)
            sample = sample.chunk(2)[0]
        alphas = self._pipe.scheduler.alphas_cumprod
        kept = float(alphas[min(round(float(timestep)), len(alphas) - 1)])
        signal, noise = kept**0.5, (1 - kept) ** 0.5
        if self._pipe.scheduler.config.prediction_type == "v_prediction":
            return signal * sample - noise * output
        return (sample - noise * output) / signal
