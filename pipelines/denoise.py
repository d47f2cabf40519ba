"""The one place that calls a diffusers pipeline: noise to latents step by step, latents to a picture."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import tomesd
import torch
from PIL import Image

from pipelines.engine import samplers
from pipelines.engine.conditioning import Conditioning
from pipelines.engine.jobs import Progress
from pipelines.engine.out_of_memory import is_out_of_memory
from pipelines.engine.pace import Pace
from pipelines.engine.preview import PREVIEW_INTERVAL, LatentMap, jpeg, thumbnail
from pipelines.engine.step_cache import reusing
from pipelines.engine.vae_tiling import can_be_divided, tiling
from presets.drawing import Drawing
from presets.text_to_image import TextToImage

BLACK = -0.98
"""A decode without a number over this is black."""


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

    def part(self, before: int, steps: int, seconds: float = 0.0) -> "Watch":
        """Of a part of the run, whose steps come after `before` others, which took `seconds`; `steps` are all of the
        run's."""

        def report(event: Progress) -> None:
            step, passed = before + event.step, seconds + event.seconds
            left = passed / step * (steps - step)
            told = {"step": step, "steps": steps, "seconds": passed, "remaining": left}
            self.report(event.model_copy(update=told))

        return replace(self, report=report)


Begin = Callable[[Any, Any, torch.Generator], Mapping[str, Any]]
"""From a pipeline, a request for one picture and its generator: what the pipeline starts from, by the names of its
parameters."""


Changes = Callable[[Any, float], Mapping[str, torch.Tensor]]
"""From a pipeline and the share of its steps that will be done after the next one: tensors that take the place of its
own for that, by their names in its loop, each for one picture without guidance."""


def from_noise(pipe: Any, request: Drawing, generator: torch.Generator) -> dict[str, Any]:
    """A `Begin`: nothing but noise, in the request's size."""
    shape = (1, pipe.vae.config.latent_channels, *_sides(pipe, request))
    noise = _packed(pipe, torch.randn(shape, generator=generator, dtype=torch.float32))
    return {"latents": noise, "width": request.width, "height": request.height}


def from_moving_noise(pipe: Any, request: TextToImage, generator: torch.Generator) -> dict[str, Any]:
    """A `Begin`: noise for all frames of an animation, the first one's as of a picture that does not move."""
    shape = (1, pipe.vae.config.latent_channels, *_sides(pipe, request))
    noise = [torch.randn(shape, generator=generator, dtype=torch.float32) for _ in range(request.frames)]
    sides = {"width": request.width, "height": request.height}
    return {"latents": torch.stack(noise, dim=2), "num_frames": request.frames, **sides}


def denoise(
    pipe: Any,
    conditioning: Conditioning,
    request: Drawing,
    watch: Watch,
    begin: Begin = from_noise,
    changes: Changes | None = None,
) -> torch.Tensor:
    """Latents of `request` (one picture, resolved), scaled, shape (1, channels, height / 8, width / 8).

    All noise comes from a CPU generator with the request's seed, so that the device does not matter. `pipe` is left
    as it was, also where `watch.report` raises.
    """
    return denoise_together(pipe, conditioning, (request,), (watch,), begin, changes)


@torch.inference_mode()
def denoise_together(
    pipe: Any,
    conditioning: Conditioning,
    requests: Sequence[Drawing],
    watches: Sequence[Watch],
    begin: Begin = from_noise,
    changes: Changes | None = None,
) -> torch.Tensor:
    """As `denoise`, of several requests that differ in words and seeds alone: latents with a row for each, as
    `conditioning` has."""
    request = requests[0]
    generators = [torch.Generator("cpu").manual_seed(each.seed) for each in requests]
    generator: Any = generators if len(generators) > 1 else generators[0]
    sides = _sides(pipe, request)
    device, dtype = pipe._execution_device, conditioning.prompt.dtype
    starts = [begin(pipe, *each) for each in zip(requests, generators, strict=True)]
    start = {name: _placed(_joined([each[name] for each in starts]), device, dtype) for name in starts[0]}

    def changed(done: float) -> dict[str, torch.Tensor]:
        return {name: _placed(value, device, dtype) for name, value in changes(pipe, done).items()} if changes else {}

    with (
        _scheduler(pipe, request),
        contextlib.nullcontext() if is_flow(pipe) else _merged_tokens(pipe.unet, request.token_merging),
        reusing(denoiser_of(pipe), request.step_cache),
        _Steps(pipe, request, watches, sides, changed) as steps,
    ):
        latents = pipe(
            **start,
            **_embeddings(conditioning, device),
            **({} if is_flow(pipe) else {"eta": samplers.TCD_ETA}),
            generator=generator,
            num_inference_steps=request.steps,
            guidance_scale=request.guidance_scale if request.guidance_end else 1.0,
            output_type="latent",
            return_dict=False,
            callback_on_step_end=steps.step_ended,
            callback_on_step_end_tensor_inputs=steps.tensors,
        )[0]
    return _unpacked(latents, sides)


def _sides(pipe: Any, request: Drawing) -> tuple[int, int]:
    """(height, width) of the latents."""
    assert request.width and request.height
    return request.height // pipe.vae_scale_factor, request.width // pipe.vae_scale_factor


def _joined(values: Sequence[Any]) -> Any:
    """Tensors one after the other; of all else the first."""
    return torch.cat(list(values)) if isinstance(values[0], torch.Tensor) and len(values) > 1 else values[0]


def _placed(value: Any, device: torch.device, dtype: torch.dtype) -> Any:
    return value.to(device, dtype) if isinstance(value, torch.Tensor) else value


def denoiser_of(pipe: Any) -> Any:
    """The UNet or transformer."""
    return pipe.transformer if is_flow(pipe) else pipe.unet


def is_flow(pipe: Any) -> bool:
    """Whether it was trained by flow matching, as the families with a transformer are."""
    return getattr(pipe, "transformer", None) is not None


def _packed(pipe: Any, latents: torch.Tensor) -> torch.Tensor:
    """`latents` as the pipeline takes them: Flux's in a row of squares of two by two."""
    return pipe._pack_latents(latents, *latents.shape) if hasattr(pipe, "_pack_latents") else latents


def _unpacked(latents: torch.Tensor, sides: tuple[int, int]) -> torch.Tensor:
    """Latents of (height, width) `sides` from a row of squares; what is no row stays as it is."""
    if latents.ndim > 3:
        return latents
    height, width = sides
    squares = latents.view(len(latents), height // 2, width // 2, -1, 2, 2)
    return squares.permute(0, 3, 1, 4, 2, 5).reshape(len(latents), -1, height, width)


class NoNumbers(Exception):
    """A decode gave NaN even in full precision. `parts` are the components whose weights hold NaN or infinity."""

    def __init__(self, parts: list[str]):
        super().__init__(", ".join(parts))
        self.parts = parts


@torch.no_grad()
def decode(pipe: Any, latents: torch.Tensor, warn: Callable[[str], None]) -> Image.Image:
    """The picture of `latents`, on the device where `denoise` left them. Raises `NoNumbers`, and what is raised where
    memory runs out.

    What comes out as NaN or black in half precision is decoded again in full, and what does not fit into memory in
    tiles; `warn` is told where that helped.
    """
    try:
        return _picture(pipe, latents, warn)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error) or not can_be_divided(pipe.vae, latents):
            raise
    if latents.is_cuda:
        torch.cuda.empty_cache()  # what the failed attempt had: its error is gone by now
    with tiling(pipe.vae):
        image = _picture(pipe, latents, warn)
    warn("There was not enough memory to decode the picture at once; it was decoded in tiles, whose seams are blended.")
    return image


def _picture(pipe: Any, latents: torch.Tensor, warn: Callable[[str], None]) -> Image.Image:
    half = pipe.vae.dtype != torch.float32
    pixels = None if half and _overflows(pipe) else _decoded(pipe, latents)
    if half and (pixels is None or _is_nothing(pixels)):
        first, pixels = pixels, _decoded_in_full(pipe, latents)
        if first is not None and not _is_nothing(pixels):
            dtype = str(pipe.vae.dtype).removeprefix("torch.")
            warn(f"The VAE gave no picture in {dtype}; it was decoded again in float32, which takes longer.")
    if pixels is None or not pixels.isfinite().all():
        raise NoNumbers(damaged_parts(pipe))
    return pipe.image_processor.postprocess(pixels, output_type="pil")[0]


@torch.no_grad()
def encode(pipe: Any, image: Image.Image, generator: torch.Generator) -> torch.Tensor:
    """Scaled latents of `image` (RGB, sides on the grid), drawn from the VAE's distribution by `generator`."""
    with _in_full(pipe.vae) if _overflows(pipe) else contextlib.nullcontext():
        vae = pipe.vae
        pixels = pipe.image_processor.preprocess(image).to(pipe._execution_device, vae.dtype)
        values = vae.encode(pixels).latent_dist.sample(generator)
    mean, deviation = vae.config.get("latents_mean"), vae.config.get("latents_std")
    if mean is not None and deviation is not None:
        scale = vae.config.scaling_factor / values.new_tensor(deviation).view(1, -1, 1, 1)
        return (values - values.new_tensor(mean).view(1, -1, 1, 1)) * scale
    return (values - (vae.config.get("shift_factor") or 0.0)) * vae.config.scaling_factor


def damaged_parts(pipe: Any) -> list[str]:
    """The names of the components whose weights hold NaN or infinity."""
    return [
        name
        for name, component in pipe.components.items()
        if isinstance(component, torch.nn.Module)
        and not all(bool(tensor.isfinite().all()) for tensor in component.state_dict().values())
    ]


def _is_nothing(pixels: torch.Tensor) -> bool:
    """Whether a decode holds NaN or is black all over."""
    return not bool(pixels.isfinite().all()) or float(pixels.max()) < BLACK


def _overflows(pipe: Any) -> bool:
    """Whether the VAE is known to overflow in float16: SDXL's says so; SD 1.x's says so too, wrongly."""
    return getattr(pipe, "text_encoder_2", None) is not None and pipe.vae.config.force_upcast


@contextlib.contextmanager
def _in_full(vae: Any) -> Iterator[None]:
    """The VAE in float32. Afterwards the weights lie again where they did, in the memory counted for them."""
    own = [(tensor, tensor.data) for tensor in (*vae.parameters(), *vae.buffers())]
    vae.to(torch.float32)
    try:
        yield
    finally:
        for tensor, data in own:
            tensor.data = data


def _decoded_in_full(pipe: Any, latents: torch.Tensor) -> torch.Tensor:
    """As `_decoded`, in float32."""
    with _in_full(pipe.vae):
        return _decoded(pipe, latents.float())


def _decoded(pipe: Any, latents: torch.Tensor) -> torch.Tensor:
    """Pixels (1, 3, height, width), nearly in [-1, 1]."""
    vae = pipe.vae
    mean, deviation = vae.config.get("latents_mean"), vae.config.get("latents_std")
    values = latents.to(vae.dtype)
    if mean is not None and deviation is not None:
        scale = values.new_tensor(deviation).view(1, -1, 1, 1) / vae.config.scaling_factor
        values = values * scale + values.new_tensor(mean).view(1, -1, 1, 1)
    else:
        values = values / vae.config.scaling_factor + (vae.config.get("shift_factor") or 0.0)
    return vae.decode(values, return_dict=False)[0]


@contextlib.contextmanager
def _scheduler(pipe: Any, request: Drawing) -> Iterator[None]:
    """The request's sampler in `pipe`; afterwards its own again, and offloaded parts back in their place."""
    own = pipe.scheduler
    if is_flow(pipe):
        pipe.scheduler = samplers.build_flow(request.schedule, own.config)
    else:
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


def _embeddings(conditioning: Conditioning, device: torch.device) -> dict[str, torch.Tensor | None]:
    given = {
        "prompt_embeds": conditioning.prompt,
        "negative_prompt_embeds": conditioning.negative,
        "pooled_prompt_embeds": conditioning.pooled,
        "negative_pooled_prompt_embeds": conditioning.negative_pooled,
    }
    return {name: tensor.to(device) for name, tensor in given.items() if tensor is not None}


_PAIRED = (
    "prompt_embeds", "add_text_embeds", "add_time_ids", "pooled_prompt_embeds", "mask", "masked_image_latents",
)  # fmt: skip
"""What diffusers hands to the denoiser in pairs, negative and positive, while guidance is on."""


def guidance_must_stay(pipe: Any) -> bool:
    """Whether guidance cannot end early, since the pipeline keeps some of its pairs to itself, as Stable Diffusion
    3.x's do that start from a picture."""
    return _is_guided(pipe) and is_flow(pipe) and "pooled_prompt_embeds" not in pipe._callback_tensor_inputs


def _is_guided(pipe: Any) -> bool:
    return hasattr(type(pipe), "do_classifier_free_guidance")  # Flux reads the scale instead


def _still(latents: torch.Tensor) -> torch.Tensor:
    """Latents (channels, height, width) of a picture, or of an animation's middle frame."""
    return latents[:, latents.shape[1] // 2] if latents.ndim == 4 else latents


class _Steps:
    """As a `with`, follows the denoiser of a run, and reports each step to its watches, one for each of the pictures
    that are made together, with a preview now and then.

    The preview is of the finished picture as the model foresees it: what the denoiser read is the same mixture of
    picture and noise for every sampler, and its answer tells them apart.
    """

    def __init__(
        self,
        pipe: Any,
        request: Drawing,
        watches: Sequence[Watch],
        sides: tuple[int, int],
        changed: Callable[[float], Mapping[str, Any]],
    ):
        self._pipe = pipe
        self._sides = sides
        self._tensors_after = changed
        self._guidance_end = request.guidance_end
        self._may_end = _is_guided(pipe) and not guidance_must_stay(pipe)
        self.tensors = [name for name in _PAIRED if self._may_end and name in pipe._callback_tensor_inputs]
        self._watches = watches
        self._pace = Pace(watches[0].preview_interval)
        self._done = 0
        self._started = 0.0
        self._seen: tuple[torch.Tensor, Any, torch.Tensor] | None = None

    def __enter__(self) -> "_Steps":
        self._hook = denoiser_of(self._pipe).register_forward_hook(self._see, with_kwargs=True)
        self._started = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self._hook.remove()
        self._seen = None

    def step_ended(self, pipe: Any, call: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        """diffusers' callback after each call of the denoiser, of which some samplers make two a step."""
        self._report(pipe, call)
        return {**self._unguided(pipe, call, tensors), **self._changed(pipe, call)}

    def _changed(self, pipe: Any, call: int) -> dict[str, torch.Tensor]:
        """What takes the place of the pipeline's tensors for the next call, in pairs while guidance is on."""
        tensors = self._tensors_after(min((call + 2) / pipe.num_timesteps, 1.0))
        rows = 2 if tensors and pipe.do_classifier_free_guidance else 1
        return {name: tensor.repeat(rows, 1, 1, 1) for name, tensor in tensors.items()}

    def _unguided(self, pipe: Any, call: int, tensors: dict[str, Any]) -> dict[str, Any]:
        """The positive halves of `tensors` from `guidance_end` on, as diffusers' `SDCFGCutoffCallback` has it."""
        done = call + 1 >= self._guidance_end * pipe.num_timesteps
        if not self._may_end or not pipe.do_classifier_free_guidance or not done:
            return {}
        pipe._guidance_scale = 1.0
        return {name: tensor.chunk(2)[1] for name, tensor in tensors.items()}

    def _report(self, pipe: Any, call: int) -> None:
        steps = -(-pipe.num_timesteps // pipe.scheduler.order)
        done = (call + 1) * steps // pipe.num_timesteps
        if done > self._done:
            self._done = done
            seconds = time.perf_counter() - self._started
            for watch, preview in zip(self._watches, self._previews(), strict=True):
                watch.report(
                    Progress(
                        picture=watch.picture,
                        pictures=watch.pictures,
                        step=done,
                        steps=steps,
                        seconds=seconds,
                        remaining=seconds / done * (steps - done),
                        preview=preview,
                    )
                )

    def _see(self, denoiser: Any, arguments: tuple[Any, ...], named: dict[str, Any], output: Any) -> None:  # noqa: ARG002
        sample, timestep = arguments[:2] if arguments else (named["hidden_states"], named["timestep"])
        self._seen = (sample, timestep, output[0])

    def _previews(self) -> Sequence[bytes | None]:
        """One for each watch, or none at all."""
        latent_map = self._watches[0].latent_map
        if latent_map is None or self._seen is None or not self._pace.due():
            return [None] * len(self._watches)
        foreseen = self._foreseen_in_flow if is_flow(self._pipe) else self._foreseen
        return [jpeg(thumbnail(_still(latents)[None], latent_map)) for latents in foreseen(*self._seen)]

    def _foreseen(self, sample: torch.Tensor, timestep: Any, output: torch.Tensor) -> torch.Tensor:
        """The latents without noise: equations 12 and 15 of https://arxiv.org/abs/2202.00512, guidance applied."""
        sample = sample[:, : output.shape[1]]  # what stands behind is a mask and what is beside it
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

    def _foreseen_in_flow(self, sample: torch.Tensor, timestep: Any, output: torch.Tensor) -> torch.Tensor:
        """The latents at the end of the straight way that the output points along (equation 13 of
        https://arxiv.org/abs/2403.03206)."""
        if sample.ndim == 3:
            sample = sample[..., : output.shape[-1]]
        if len(sample) > len(self._watches):
            negative, positive = output.chunk(2)
            output = negative + self._pipe.guidance_scale * (positive - negative)
            sample = sample[: len(self._watches)]
        level = float(timestep.flatten()[0])
        if sample.ndim == 4:  # Flux is told the level itself, the others the timestep
            level /= self._pipe.scheduler.config.num_train_timesteps
        return _unpacked(sample - level * output, self._sides)
