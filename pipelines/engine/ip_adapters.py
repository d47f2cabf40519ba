"""IP-Adapters and image encoders, from their files to loaded components, without internet. Runs in the worker.

`attending_to` puts what they say onto a UNet for one use. Its cross attention is then computed by diffusers' processors
for IP-Adapters (https://arxiv.org/abs/2308.06721), beside the words in the way that was chosen for it.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import init_empty_weights
from diffusers.models import attention_processor
from PIL import Image
from safetensors import SafetensorError
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

from pipelines.engine.errors import IpAdapterFamily, IpAdapterUnusable
from pipelines.engine.headers import BrokenFile
from pipelines.engine.ip_adapter_files import ImageEncoderFile, IpAdapterFile
from pipelines.engine.out_of_memory import is_out_of_memory
from pipelines.engine.pickles import UnsafeFile
from pipelines.engine.weight_files import mapped

_TORN = (BrokenFile, UnsafeFile, SafetensorError, KeyError, ValueError, RuntimeError, TypeError, IndexError)
"""What is raised for files whose content does not fit together."""
_PROCESSORS: Mapping[type, Any] = {
    attention_processor.AttnProcessor2_0: attention_processor.IPAdapterAttnProcessor2_0,
    attention_processor.XFormersAttnProcessor: attention_processor.IPAdapterXFormersAttnProcessor,
}
"""For others (plain, sliced) the plain one: what would take memory is attention to the picture itself."""


class IpAdapter(torch.nn.Module):
    """What makes words of a picture's numbers, and what each of the UNet's layers reads of them."""

    def __init__(self, projection: torch.nn.Module, keys: Sequence[torch.Tensor], values: Sequence[torch.Tensor]):
        super().__init__()
        self.projection = projection
        self.keys = torch.nn.ModuleList(map(_linear, keys))
        self.values = torch.nn.ModuleList(map(_linear, values))


@dataclass(frozen=True, slots=True)
class Reference:
    """A picture that is drawn like: the words that `adapter` makes of nothing and of it, (2, 1, words, numbers), and
    how strongly they count."""

    name: str
    adapter: IpAdapter
    words: torch.Tensor
    weight: float


def load_ip_adapter(file: IpAdapterFile, unet: Any, dtype: torch.dtype) -> IpAdapter:
    """The model of `file` on the CPU in `dtype`. The weights are copies. Raises `IpAdapterUnusable` and `OSError`."""
    try:
        tensors = mapped(file.path)
        numbers = sorted(int(name.split(".")[1]) for name in tensors if name.endswith(".to_k_ip.weight"))
        keys, values = (
            [tensors[f"ip_adapter.{number}.{part}.weight"].to(dtype, copy=True) for number in numbers]
            for part in ("to_k_ip", "to_v_ip")
        )
        beginning = "image_proj."
        own = {name.removeprefix(beginning): tensors[name] for name in tensors if name.startswith(beginning)}
        projection = unet._convert_ip_adapter_image_proj_to_diffusers(own, low_cpu_mem_usage=False)
        adapter = IpAdapter(projection.to(dtype), keys, values)
    except _TORN as problem:
        raise _torn(file.name, problem) from problem
    return adapter.eval().requires_grad_(False)


def load_image_encoder(file: ImageEncoderFile, dtype: torch.dtype) -> CLIPVisionModelWithProjection:
    """As `load_ip_adapter`."""
    config = CLIPVisionConfig(
        hidden_size=file.width,
        intermediate_size=file.inner,
        projection_dim=file.projected,
        num_hidden_layers=file.layers,
        num_attention_heads=file.heads,
        image_size=file.side,
        patch_size=file.square,
        hidden_act=file.activation,
    )
    try:
        tensors = mapped(file.path)
        with init_empty_weights(include_buffers=False):
            encoder = CLIPVisionModelWithProjection(config)
        state = {name: tensors[name].to(dtype, copy=True) for name in encoder.state_dict()}
        encoder.load_state_dict(state, assign=True)
    except _TORN as problem:
        raise _torn(file.name, problem) from problem
    return encoder.eval().requires_grad_(False)


def _torn(name: str, problem: Exception) -> IpAdapterUnusable:
    """The error of a file; raises `problem` itself where memory ran out."""
    if is_out_of_memory(problem):
        raise problem
    first = (str(problem).strip().splitlines() or [type(problem).__name__])[0]
    return IpAdapterUnusable(name, f"its parts do not fit together ({first[:100]})")


def _linear(weight: torch.Tensor) -> torch.nn.Linear:
    with init_empty_weights():
        layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight = torch.nn.Parameter(weight, requires_grad=False)
    return layer


@torch.inference_mode()
def words_of(picture: Image.Image, encoder: Any, adapter: IpAdapter, *, by_squares: bool) -> torch.Tensor:
    """The words that `adapter` makes of nothing and of `picture` (RGB), shape (2, 1, words, numbers)."""
    side = encoder.config.image_size
    processor = CLIPImageProcessor(size=side, crop_size=side)  # of OpenAI's colours, the middle square
    pixels = processor(picture, return_tensors="pt").pixel_values.to(encoder.device, encoder.dtype)
    if by_squares:
        nothing, numbers = (
            encoder(given, output_hidden_states=True).hidden_states[-2] for given in (torch.zeros_like(pixels), pixels)
        )
    else:
        numbers = encoder(pixels).image_embeds
        nothing = torch.zeros_like(numbers)
    return adapter.projection(torch.cat([nothing, numbers])).unsqueeze(1)


@contextlib.contextmanager
def attending_to(unet: Any, references: Sequence[Reference], checkpoint: str) -> Iterator[None]:
    """Until the block is left, `unet` attends to `references` beside the words; then its processors are the very ones
    it had. Raises `IpAdapterFamily` for one that was made for another UNet than the `checkpoint`'s."""
    crossing = [module for name, module in unet.named_modules() if name.endswith(".attn2")]
    own = [module.processor for module in crossing]
    for reference in references:
        _check_layers(reference, crossing, checkpoint)
    try:
        for number, module in enumerate(crossing):
            module.processor = _Styled(module.processor, references, number)
        yield
    finally:
        for module, processor in zip(crossing, own, strict=True):
            module.processor = processor


def _check_layers(reference: Reference, crossing: Sequence[Any], checkpoint: str) -> None:
    spoken = [_sides(layer) for layer in (*reference.adapter.keys, *reference.adapter.values)]
    read = [_sides(module.to_k) for module in crossing]
    if spoken != read * 2:
        raise IpAdapterFamily(reference.name, f"was made for another UNet than that of the checkpoint {checkpoint}")


def _sides(layer: Any) -> tuple[int, int]:
    """As the layer has them, whatever its weights are stored as."""
    return layer.out_features, layer.in_features


class _Styled:
    """The processor of one layer: `own` with `references` beside the words. No module, so that the UNet's stay the
    same."""

    def __init__(self, own: Any, references: Sequence[Reference], number: int):
        kind = _PROCESSORS.get(type(own), attention_processor.IPAdapterAttnProcessor)
        keys: list[Any] = [reference.adapter.keys[number] for reference in references]
        values = [reference.adapter.values[number] for reference in references]
        inner, width = _sides(keys[0])
        with init_empty_weights():
            self._processor: Any = kind(
                inner,
                width,
                num_tokens=[reference.words.shape[2] for reference in references],
                scale=[reference.weight for reference in references],
            )
        self._processor.to_k_ip = torch.nn.ModuleList(keys)
        self._processor.to_v_ip = torch.nn.ModuleList(values)
        self._words = [reference.words for reference in references]

    def __call__(
        self,
        attention: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Of a batch of one, whose guidance is off, only the positive half of the words."""
        words = [each[-len(encoder_hidden_states) :] for each in self._words]
        return self._processor(attention, hidden_states, (encoder_hidden_states, words), attention_mask)
