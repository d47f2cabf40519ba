"""What a picture tells of itself, whichever program wrote it: read only, and total whatever the file holds.

Easel's own pictures are read exactly (`metadata.py`). Others' settings are put into our terms as far as there are such;
what is missing here, and what cannot be honoured, is told.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import BaseModel, ConfigDict

from presets import chunks, exif, foreign_comfy, foreign_json, foreign_text, metadata, told
from presets.available import Available, Missing, localised
from presets.checks import parse
from presets.chunks import Texts
from presets.errors import UserError
from presets.infotext import lora_key
from presets.names import writable
from presets.partial import accepted, filled
from presets.requests import KINDS, AnyRequest, TextToImage
from presets.told import Told

OWN = "Easel"
OTHER_PROGRAM = "Other programs draw their noise and round otherwise: expect a picture like it, not the same."


class PictureInfo(BaseModel):
    """What was found in a picture's file.

    `program` wrote it; empty where nothing is told. `request` is what can be made again here, with the parts that are
    `missing` left out; `restored` are the names of its fields that the file told. `refused` are sentences about values
    that are not allowed here, `notes` about what is read otherwise than written, `ignored` what there is no field
    for. `texts` are all texts of the file as they stand in it. Where a picture was given for it that the file does not
    hold, `request` is one from words alone, and `beside` are the fields that one of that `kind` has besides.
    """

    model_config = ConfigDict(frozen=True)

    format: str
    width: int
    height: int
    program: str = ""
    request: AnyRequest | None = None
    kind: str = ""
    beside: Mapping[str, Any] = {}
    restored: tuple[str, ...] = ()
    missing: tuple[Missing, ...] = ()
    refused: tuple[str, ...] = ()
    ignored: Mapping[str, str] = {}
    notes: tuple[str, ...] = ()
    texts: Mapping[str, str] = {}

    @property
    def settings(self) -> dict[str, Any]:
        """The values of the request's fields and of those beside, but for a checkpoint that is not known."""
        values = {**self.request.model_dump(exclude={"kind"}), **self.beside} if self.request else {}
        return {name: value for name, value in values.items() if name != "checkpoint" or value}


class NoPicture(UserError):
    """A file that is no picture of the three formats."""

    code = "E-IMAGE-FORMAT"

    def __init__(self):
        super().__init__("This file is not a whole PNG, JPEG or WebP picture.")


def read_info(source: Path | BinaryIO, available: Available) -> PictureInfo:
    """What the picture `source` tells, against what is installed. Raises `NoPicture`."""
    try:
        found = chunks.read_texts(source)
    except OSError:
        raise NoPicture from None
    if 0 in found.size:
        raise NoPicture
    own, problems = _own(found)
    said = own or next(filter(None, (read(found.texts) for read in READERS)), None)
    return _info(found, said, available, (*problems, *found.problems.values()))


def _own(found: Texts) -> tuple[Told | None, tuple[str, ...]]:
    """What our own text tells, or why it cannot be used."""
    try:
        recovered = metadata.recovered(found)
    except metadata.MetadataUnreadable as problem:
        return None, (problem.message,)
    if recovered is None:
        return None, ()
    hashes = told.object_of(recovered.record.get("hashes"))
    values = recovered.request.model_dump(mode="json")
    checkpoint = told.file_of(values.get("checkpoint"), hashes.get("checkpoint"))
    mark = lora_key("")
    loras = {key.removeprefix(mark): told.text_of(value) for key, value in hashes.items() if key.startswith(mark)}
    return Told(OWN, values, checkpoint, lora_hashes=loras), ()


def _parameters(texts: Mapping[str, str]) -> Told | None:
    """A1111 and its forks; SwarmUI and Fooocus put JSON under the same name."""
    for name in ("parameters", "UserComment", "comment"):
        text = texts.get(name, "").strip()
        if text.startswith("{"):
            found = foreign_json.parsed(text, (foreign_json.swarm, foreign_json.fooocus))
        else:
            found = foreign_text.read(text)
        if found:
            return found
    return None


def _comfy(texts: Mapping[str, str]) -> Told | None:
    made_by_camera = (exif.named(texts, tag).partition("prompt:")[2] for tag in (exif.MODEL, exif.MAKE))
    return foreign_json.parsed(texts.get("prompt") or next(filter(None, made_by_camera), ""), (foreign_comfy.read,))


def _invoke(texts: Mapping[str, str]) -> Told | None:
    return foreign_json.parsed(texts.get("invokeai_metadata"), (foreign_json.invoke,))


def _novel(texts: Mapping[str, str]) -> Told | None:
    content = told.json_object(texts.get("Comment"))
    return foreign_json.novel({"prompt": texts.get("Description", "")} | content) if content else None


READERS: tuple[Callable[[Mapping[str, str]], Told | None], ...] = (_parameters, _invoke, _novel, _comfy)
"""Each knows a family of programs by the texts of a file; the first that finds its own is believed."""


def _info(found: Texts, said: Told | None, available: Available, notes: Iterable[str]) -> PictureInfo:
    width, height = found.size
    if said is None:
        return PictureInfo(format=found.format, width=width, height=height, texts=found.texts, notes=_clean(notes))
    values, missing = _installed(said, available)
    kind = KINDS.get(told.text_of(values.pop("kind", "")), TextToImage)
    kept, problems = accepted(kind, values)
    wanted, beside = kind, {}
    if not _is_whole(kind, kept):
        kind = TextToImage
        beside = {name: value for name, value in kept.items() if name not in kind.model_fields}
        kept = {name: value for name, value in kept.items() if name in kind.model_fields}
    about = () if said.program == OWN else (OTHER_PROGRAM,)
    return PictureInfo(
        format=found.format,
        width=width,
        height=height,
        program="".join(_clean([said.program])),
        request=parse(kind, filled(kind, kept)),
        kind=told.text_of(wanted.model_fields["kind"].default),
        beside=beside,
        restored=tuple(name for name in kind.model_fields if name in kept),
        missing=missing,
        refused=_clean(problem.message for problem in problems),
        ignored=dict(zip(_clean(said.rest), _clean(said.rest.values()), strict=True)),
        notes=_clean((*notes, *said.notes, *about)),
        texts=found.texts,
    )


def _is_whole(kind: type[AnyRequest], kept: Mapping[str, Any]) -> bool:
    """Whether of the fields that a request of `kind` needs none but the prompt is missing."""
    return all(name in kept or name == "prompt" for name, field in kind.model_fields.items() if field.is_required())


def _installed(said: Told, available: Available) -> tuple[dict[str, Any], tuple[Missing, ...]]:
    """The values with files under their names here, and without those that are not here."""
    own = said.program == OWN
    uses = [
        {"name": lora.file.name, "strength": lora.strength, "text_encoder_strength": lora.text_encoder_strength}
        for lora in said.loras
    ]
    values = dict(said.values) | ({"loras": uses} if uses else {})
    if said.checkpoint:
        values["checkpoint"] = said.checkpoint.name
    if said.vae:
        values["vae"] = said.vae.name
    hashes = {lora.file.name: lora.file.hash for lora in said.loras} | dict(said.lora_hashes)
    digits = said.checkpoint.hash if said.checkpoint else ""
    return localised(values, available, checkpoint_hash=digits, lora_hashes=hashes, of_hub=own)


def _clean(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(map(writable, texts))
