"""IP-Adapters, by which a checkpoint draws in the manner of a picture, and the CLIP image encoders that they read it
by. What their headers tell; no weights are read.

They lie in `ip_adapters/` under the model roots as h94/IP-Adapter has them, each encoder in a folder of its own
(`image_encoder/model.safetensors`, with its config.json), or in folders of the names that other programs give theirs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipelines.engine import plain_json
from pipelines.engine.catalog import Catalog
from pipelines.engine.errors import (
    ImageEncoderMissing,
    IpAdapterFamily,
    IpAdapterNotFound,
    IpAdapterUnusable,
    NoIpAdapter,
)
from pipelines.engine.families import FAMILIES
from pipelines.engine.headers import BrokenFile, Header
from pipelines.engine.jobs import ControlInfo
from pipelines.engine.listing import CONFIG, Listing
from pipelines.engine.model import Model
from pipelines.engine.recognition import OtherKind, what_else
from presets.errors import UserError

FOLDERS = ("ip_adapters", "ipadapter", "clip_vision")
CONFIG_LIMIT = 2**20
ENCODER = "image encoder"

Shapes = Mapping[str, tuple[int, ...]]
Kind = Literal["IP-Adapter", "IP-Adapter Plus", "IP-Adapter Full Face"]

_FAMILY_BY_WIDTH = {768: "sd1", 1024: "sd2", 2048: "sdxl"}
_VISION = "vision_model."
_WORDS = 4
"""That a plain one makes of a picture."""
_HEADS = 16
"""Of all encoders that IP-Adapters were made with, where no config tells."""
_OPENAI_WIDTH = 1024
"""OpenAI's encoder is the one of this width."""
_ACTIVATIONS = ("gelu", "quick_gelu")
"""Of the others, and of OpenAI's."""


@dataclass(frozen=True, slots=True)
class ImageEncoderFile:
    """A CLIP image encoder: `width` are the numbers that it has for each square of a picture, `projected` those for the
    whole. `identity` changes when the file does."""

    name: str
    path: Path
    identity: str
    width: int
    projected: int
    layers: int
    heads: int
    inner: int
    square: int
    side: int
    activation: str
    size_bytes: int

    def info(self) -> ControlInfo:
        """The encoder as faces show it."""
        return ControlInfo(name=self.name, kind=ENCODER, width=self.width, size_bytes=self.size_bytes)

    def check_fits(self, model: Model) -> None:
        """Raise `IpAdapterFamily`: it is for no checkpoint, but for IP-Adapters."""
        raise IpAdapterFamily(self.name, f"is an {ENCODER}, which the checkpoint {model.name} does not use by itself")


@dataclass(frozen=True, slots=True)
class IpAdapterFile:
    """An IP-Adapter. `text_width` is that of the words beside which it puts its own, `reads` how many numbers it reads:
    of each square of the picture if it `reads_squares`, else of the whole. `layers` counts the UNet's layers that
    it speaks in."""

    name: str
    path: Path
    identity: str
    kind: Kind
    text_width: int
    reads: int
    reads_squares: bool
    layers: int
    size_bytes: int

    @property
    def made_for(self) -> str:
        """The family's title, empty where it is none that is known."""
        family = _FAMILY_BY_WIDTH.get(self.text_width)
        return FAMILIES[family].title if family else ""

    def info(self) -> ControlInfo:
        """The adapter as faces show it."""
        return ControlInfo(
            name=self.name, family=self.made_for, kind=self.kind, width=self.text_width, size_bytes=self.size_bytes
        )

    def understands(self, encoder: ImageEncoderFile) -> bool:
        return self.reads == (encoder.width if self.reads_squares else encoder.projected)

    def check_fits(self, model: Model) -> None:
        """Raise `IpAdapterFamily` for a checkpoint of another family. Of one of the Hub that is not downloaded nothing
        is known."""
        if model.path is None or self.text_width == model.text_width:
            return
        made = (
            f"is an {self.kind} for {self.made_for}" if self.made_for else f"reads words of {self.text_width} numbers"
        )
        raise IpAdapterFamily(self.name, f"{made}, and the checkpoint {model.name} is of {model.title}")


class _Files(Listing[IpAdapterFile | ImageEncoderFile]):
    """The adapters and the encoders."""

    folders = FOLDERS
    missing = IpAdapterNotFound
    refused = IpAdapterUnusable

    def read(self, name: str, path: Path, identity: str, header: Header) -> IpAdapterFile | ImageEncoderFile:
        return (_encoder if _is_encoder(header) else _adapter)(name, path, identity, header)


class IpAdapterFiles:
    """The IP-Adapters and image encoders there are now. Any thread may call it; a file that has not changed is not read
    again."""

    def __init__(self, catalog: Catalog):
        self._files = _Files(catalog)

    def list(self) -> tuple[ControlInfo, ...]:
        """All by name, those that cannot be used, or that lack their encoder, with the reason as their `problem`."""
        found = dict(self._files.all())
        encoders = _encoders(found)
        lacking = {
            name: {"problem": ImageEncoderMissing(name, one.reads, FOLDERS[0]).message}
            for name, one in found.items()
            if isinstance(one, IpAdapterFile) and not any(map(one.understands, encoders))
        }
        return tuple(info.model_copy(update=lacking.get(info.name, {})) for info in self._files.told(found))

    def find(self, name: str, model: Model) -> tuple[IpAdapterFile, ImageEncoderFile]:
        """The IP-Adapter that `name` means, and the encoder that it reads pictures by: a listed name, in any case, or
        its last part; "" is the first one that fits `model`.

        Raises `IpAdapterNotFound`, `IpAdapterUnusable`, `ImageEncoderMissing`, and `IpAdapterFamily` for one that does
        not fit.
        """
        if model.path is not None and not model.text_width:
            raise IpAdapterFamily("An IP-Adapter", f"cannot be used: {model.name} is of {model.title}, which has none")
        found = dict(self._files.all())
        encoders = _encoders(found)
        adapters = {key: one for key, one in found.items() if not isinstance(one, ImageEncoderFile)}
        if not name:
            return self._first_for(model, adapters, encoders)
        file = self._files.fitting(name, model, adapters)
        return file, _encoder_for(file, encoders)

    def _first_for(
        self,
        model: Model,
        adapters: Mapping[str, IpAdapterFile | UserError],
        encoders: tuple[ImageEncoderFile, ...],
    ) -> tuple[IpAdapterFile, ImageEncoderFile]:
        fitting = [
            one
            for one in adapters.values()
            if isinstance(one, IpAdapterFile) and (model.path is None or one.text_width == model.text_width)
        ]
        if not fitting:
            raise NoIpAdapter(model.name, FOLDERS[0])
        complete = [one for one in fitting if any(map(one.understands, encoders))]
        file = (complete or fitting)[0]
        return file, _encoder_for(file, encoders)


def _encoders(found: Mapping[str, object]) -> tuple[ImageEncoderFile, ...]:
    return tuple(one for one in found.values() if isinstance(one, ImageEncoderFile))


def _encoder_for(file: IpAdapterFile, encoders: tuple[ImageEncoderFile, ...]) -> ImageEncoderFile:
    """The nearest in the folders that it understands."""
    fitting = [one for one in encoders if file.understands(one)]
    if not fitting:
        raise ImageEncoderMissing(file.name, file.reads, FOLDERS[0])
    beside = [one for one in fitting if file.path.parent in one.path.parents]
    return (beside or fitting)[0]


def _is_encoder(header: Header) -> bool:
    return f"{_VISION}embeddings.class_embedding" in header.shapes and "visual_projection.weight" in header.shapes


def _encoder(name: str, path: Path, identity: str, header: Header) -> ImageEncoderFile:
    shapes = header.shapes
    (width,) = shapes[f"{_VISION}embeddings.class_embedding"]
    square = shapes[f"{_VISION}embeddings.patch_embedding.weight"][-1]
    squares = shapes[f"{_VISION}embeddings.position_embedding.weight"][0] - 1
    told = _told(path.with_name(CONFIG))
    heads, activation = told.get("num_attention_heads"), told.get("hidden_act")
    heads = heads if type(heads) is int and heads > 0 else _HEADS
    if width % heads:
        raise BrokenFile(f"its config.json names {heads} heads for {width} numbers")
    return ImageEncoderFile(
        name=name,
        path=path,
        identity=identity,
        width=width,
        projected=shapes["visual_projection.weight"][0],
        layers=_count(shapes, f"{_VISION}encoder.layers."),
        heads=heads,
        inner=shapes[f"{_VISION}encoder.layers.0.mlp.fc1.weight"][0],
        square=square,
        side=round(squares**0.5) * square,
        activation=activation if activation in _ACTIVATIONS else _ACTIVATIONS[width == _OPENAI_WIDTH],
        size_bytes=path.stat().st_size,
    )


def _told(config: Path) -> Mapping[str, object]:
    """What a config says, if it can be read."""
    try:
        with config.open("rb") as file:
            value = plain_json.parse(file.read(CONFIG_LIMIT))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _adapter(name: str, path: Path, identity: str, header: Header) -> IpAdapterFile:
    """Raises `OtherKind` for what is none that can be used here."""
    shapes = header.shapes
    keys = sorted(
        (int(tensor.split(".")[1]), shape) for tensor, shape in shapes.items() if tensor.endswith(".to_k_ip.weight")
    )
    if not keys or not header.has("image_proj."):
        raise what_else(header)
    if header.has("image_proj.perceiver_resampler.") or any(".to_q_lora." in tensor for tensor in shapes):
        raise _FACE_ID
    kind, reads = _kind(shapes, keys[0][1][1])
    return IpAdapterFile(
        name=name,
        path=path,
        identity=identity,
        kind=kind,
        text_width=keys[0][1][1],
        reads=reads,
        reads_squares=kind != "IP-Adapter",
        layers=len(keys),
        size_bytes=path.stat().st_size,
    )


def _kind(shapes: Shapes, text: int) -> tuple[Kind, int]:
    """And how many numbers it reads. Raises `ValueError` and `KeyError` where it does not make words of `text` numbers
    of them: what is made of a file is no larger than the file."""
    own = {name.removeprefix("image_proj."): shape for name, shape in shapes.items()}
    if "proj.weight" in own:
        _check(own["proj.weight"][0] == _WORDS * text)
        return "IP-Adapter", own["proj.weight"][1]
    if "proj.3.weight" in own:
        width = own["proj.0.weight"][1]
        _check(own["proj.0.weight"] == (width, width) and own["proj.2.weight"] == (text, width))
        return "IP-Adapter Full Face", width
    if "latents" in own:
        inner, reads = own["proj_in.weight"]
        _check(own["latents"][0] == 1 and own["latents"][2] == inner and own["proj_out.weight"] == (text, inner))
        _check(own["layers.0.1.1.weight"] == (4 * inner, inner) and own["layers.0.0.to_q.weight"][1] == inner)
        return "IP-Adapter Plus", reads
    raise _FACE_ID


def _check(fits: bool) -> None:
    if not fits:
        raise ValueError


_FACE_ID = OtherKind("an IP-Adapter FaceID", "it needs a program that recognises faces, which Easel does not have")


def _count(shapes: Shapes, prefix: str) -> int:
    return len({name.removeprefix(prefix).split(".")[0] for name in shapes if name.startswith(prefix)})
