"""What faces are told of models and of the memory that they take."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict


class ModelInfo(BaseModel):
    """A checkpoint as a face shows it. `native_size` is (width, height) in pixels.

    `residence` says where its weights are now. What is `kept` is not evicted once it is loaded. `switch_seconds` is
    what its last switch took in this run of the program. `sha256` is empty until the file has been hashed in the
    background; `duplicate_of` names the first in the list with the same content.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    family: str
    native_size: tuple[int, int]
    size_bytes: int
    note: str = ""
    residence: Literal["gpu", "ram", "disk"] = "disk"
    kept: bool = False
    switch_seconds: float | None = None
    sha256: str = ""
    duplicate_of: str = ""


class Resident(BaseModel):
    """A checkpoint in memory. `bytes` counts what it alone holds and its share of what it shares; `switch_seconds` is
    what its last switch took. What is `kept` is not evicted; what is `pinned` is in use by a job now."""

    model_config = ConfigDict(frozen=True)

    name: str
    tier: Literal["gpu", "ram"]
    bytes: int
    switch_seconds: float
    kept: bool = False
    pinned: bool = False


class Tier(BaseModel):
    """Memory for weights of one kind, against its budget."""

    model_config = ConfigDict(frozen=True)

    name: Literal["gpu", "ram"]
    used_bytes: int
    budget_bytes: int


class MemoryReport(BaseModel):
    """Which models are where. Sent by the worker whenever it changes. `loras` names those in main memory. Where the GPU
    is `lent` for each job, nothing can be loaded, kept or unloaded between jobs."""

    model_config = ConfigDict(frozen=True)

    tiers: tuple[Tier, ...] = ()
    residents: tuple[Resident, ...] = ()
    loras: tuple[str, ...] = ()
    lent: bool = False


class LoraInfo(BaseModel):
    """A LoRA as a face shows it: what its file's header and metadata tell. `problem` says why it cannot be used.
    `hashes` are those by which programs and sites know it, in hexadecimal: those that its trainer noted, then, once the
    file has been read for them, of its weights and of all of it."""

    model_config = ConfigDict(frozen=True)

    name: str
    family: str = ""
    kind: str = ""
    rank: int | None = None
    size_bytes: int = 0
    trigger_words: tuple[str, ...] = ()
    base_model: str = ""
    hashes: tuple[str, ...] = ()
    preview: Path | None = None
    problem: str = ""


class ControlInfo(BaseModel):
    """A model that follows pictures, as a face shows it. `kind` is "ControlNet", "ControlNet union" or "T2I-Adapter",
    and `width` the channels of the checkpoints that it is for; or one of the IP-Adapters, whose `width` is that of the
    words, or the "image encoder" of some. `problem` says why it cannot be used."""

    model_config = ConfigDict(frozen=True)

    name: str
    family: str = ""
    kind: str = ""
    width: int = 0
    size_bytes: int = 0
    problem: str = ""


class PreprocessorInfo(BaseModel):
    """A preprocessor as a face shows it. `needs` are the files it loads (or one folder) of the Hub's `repository`;
    `is_here` says whether they are on this machine. `parameters` are those that matter to it."""

    model_config = ConfigDict(frozen=True)

    name: str
    title: str
    help: str
    parameters: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    repository: str = ""
    is_here: bool = True


class TokenCount(BaseModel):
    """`tokens` of the prompt without markers, in `chunks` of `chunk_size` as the text encoder reads them."""

    model_config = ConfigDict(frozen=True)

    tokens: int
    chunks: int
    chunk_size: int
