"""Jobs and their events: all that a face knows of the engine. No torch here.

Requests go down, events come up, both as JSON. A job's events are, in order: `Queued` (again as its
place changes), `Loading`, `Progress` and `Warned` as it runs, one `Saved` per picture, and at its end exactly one of
`Finished`, `Failed` and `Stopped`. What the request itself calls to warn of comes right after the first `Queued`.
"""

import asyncio
import contextlib
import threading
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from presets.errors import UserError
from presets.inputs import Inputs
from presets.requests import AnyRequest
from presets.styles import Styles


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, ser_json_bytes="base64", val_json_bytes="base64")


class Queued(_Event):
    """Waiting. `position` 1 is next; `detail` says what is waited for where that is not another job."""

    type: Literal["queued"] = "queued"
    position: int
    detail: str = ""


class Loading(_Event):
    """Something that is not a step takes its time: libraries, a checkpoint, a download."""

    type: Literal["loading"] = "loading"
    what: str
    fraction: float | None = Field(default=None, ge=0, le=1)


class Progress(_Event):
    """Step `step` of `steps` of picture `picture` of `pictures` (all counted from 1) is done.

    `seconds` since the first step began, `remaining` the estimate for this picture. `preview` is a JPEG of the
    picture so far, on some steps only.
    """

    type: Literal["progress"] = "progress"
    picture: int
    pictures: int
    step: int
    steps: int
    seconds: float
    remaining: float
    preview: bytes | None = None


class Warned(_Event):
    """The job goes on, but something differs from what the person may think."""

    type: Literal["warned"] = "warned"
    message: str


class Saved(_Event):
    """Picture `index` (from 0) is in the gallery at `path`; `request` alone makes it again. Timings in seconds; `notes`
    tell of it what is no warning."""

    type: Literal["saved"] = "saved"
    index: int
    path: Path
    request: AnyRequest
    timings: dict[str, float] = {}
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Finished(_Event):
    """All pictures are saved. Timings in seconds."""

    type: Literal["finished"] = "finished"
    timings: dict[str, float] = {}


class Failed(_Event):
    """The job ended without the rest of its pictures; `message` is for the person."""

    type: Literal["failed"] = "failed"
    code: str
    message: str
    field: str | None = None


class Stopped(_Event):
    """The job was cancelled. Pictures saved before stay."""

    type: Literal["stopped"] = "stopped"


Event = Annotated[
    Queued | Loading | Progress | Warned | Saved | Finished | Failed | Stopped, Field(discriminator="type")
]
EVENT: TypeAdapter[Event] = TypeAdapter(Event)
"""Reads and writes any event as JSON."""

LAST_EVENTS = (Finished, Failed, Stopped)


class Job:
    """One submitted request. Any thread may read it; `events()` and `stream()` may be called any number of times,
    each giving all events from the first (of an ended job without the previews)."""

    def __init__(self, request: AnyRequest, cancel: Callable[["Job"], None]):
        self.id = uuid.uuid4().hex
        self.request = request
        self.created = time.time()
        self._cancel = cancel
        self._events: list[Event] = []
        self._changed = threading.Condition()
        self._listeners: set[Callable[[], None]] = set()

    @property
    def done(self) -> bool:
        return bool(self._events) and isinstance(self._events[-1], LAST_EVENTS)

    @property
    def saved(self) -> list[Saved]:
        """The pictures that exist so far."""
        return [event for event in self._events if isinstance(event, Saved)]

    @property
    def warnings(self) -> list[str]:
        """What was warned of so far."""
        return [event.message for event in self._events if isinstance(event, Warned)]

    def cancel(self) -> None:
        """Ask the job to stop; it does within one step. Nothing happens if it has ended."""
        if not self.done:
            self._cancel(self)

    def put(self, event: Event) -> None:
        """Append an event (the engine's business). Events after the last are dropped."""
        with self._changed:
            if self.done:
                return
            self._events.append(event)
            if self.done:
                self._drop_previews()
            self._changed.notify_all()
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener()

    def _drop_previews(self) -> None:
        for index, event in enumerate(self._events):
            if isinstance(event, Progress) and event.preview:
                self._events[index] = event.model_copy(update={"preview": None})

    def events(self) -> Iterator[Event]:
        """All events, waiting for those to come; ends after the last."""
        index = 0
        while True:
            event = self._wait_for(index)
            yield event
            if isinstance(event, LAST_EVENTS):
                return
            index += 1

    def _wait_for(self, index: int) -> Event:
        with self._changed:
            self._changed.wait_for(lambda: len(self._events) > index)
            return self._events[index]

    async def stream(self) -> AsyncGenerator[Event, None]:
        """As `events()` for an event loop: a waiting caller holds no thread."""
        loop = asyncio.get_running_loop()
        news = asyncio.Event()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile: nobody listens any more
                loop.call_soon_threadsafe(news.set)

        with self._changed:
            self._listeners.add(wake)
        try:
            index = 0
            while True:
                while index < len(self._events):
                    yield self._events[index]
                    if isinstance(self._events[index], LAST_EVENTS):
                        return
                    index += 1
                await news.wait()
                news.clear()
        finally:
            with self._changed:
                self._listeners.discard(wake)

    def result(self) -> list[Saved]:
        """Wait for the end; the saved pictures, or `UserError` with the failure's sentence and code."""
        for event in self.events():
            if isinstance(event, Failed):
                raise UserError(event.message, code=event.code, field=event.field)
        return self.saved


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
    """Which models are where. Sent by the worker whenever it changes. `loras` names those in main memory."""

    model_config = ConfigDict(frozen=True)

    tiers: tuple[Tier, ...] = ()
    residents: tuple[Resident, ...] = ()
    loras: tuple[str, ...] = ()


class LoraInfo(BaseModel):
    """A LoRA as a face shows it: what its file's header and metadata tell. `problem` says why it cannot be used."""

    model_config = ConfigDict(frozen=True)

    name: str
    family: str = ""
    kind: str = ""
    rank: int | None = None
    size_bytes: int = 0
    trigger_words: tuple[str, ...] = ()
    base_model: str = ""
    preview: Path | None = None
    problem: str = ""


class ControlInfo(BaseModel):
    """A model that follows control pictures, as a face shows it. `kind` is "ControlNet", "ControlNet union" or
    "T2I-Adapter"; `width` the channels of the checkpoints that it is for. `problem` says why it cannot be used."""

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


class EngineStatus(BaseModel):
    """What the engine is doing: "starting" until the libraries are loaded, "restarting" after a crash.

    `loading` is the load that was asked for by itself and goes on now. `notice` says what became of the last command
    about a model where it did not do as asked. `hashing` names the file that is being hashed.
    """

    model_config = ConfigDict(frozen=True)

    state: Literal["starting", "ready", "busy", "restarting", "stopped"]
    detail: str = ""
    waiting: int = 0
    loading: Loading | None = None
    notice: str = ""
    hashing: str = ""


class Engine(Protocol):
    """The one seam between faces and work. Every method returns at once and may be called from any thread.

    `inputs` keeps the pictures that requests name, `styles` are those that they can name.
    """

    inputs: Inputs
    styles: Styles

    def submit(self, request: AnyRequest) -> Job:
        """Queue a request. Raises `UserError` if it cannot work as far as can be told by now."""
        ...

    def job(self, identifier: str) -> Job | None: ...

    def models(self) -> Sequence[ModelInfo]:
        """The checkpoints there are now, the default first."""
        ...

    def vaes(self) -> Sequence[str]:
        """Names of the VAEs that can be chosen instead of a checkpoint's own."""
        ...

    def upscalers(self) -> Sequence[str]:
        """What can make pictures larger: models, the one that ships first, then ways of plain resampling."""
        ...

    def problems(self) -> Sequence[str]:
        """A sentence for each file among the checkpoints that cannot be used."""
        ...

    def loras(self) -> Sequence[LoraInfo]:
        """The LoRAs there are now, by name; of many new ones some with their name alone until the next call."""
        ...

    def preprocessors(self) -> Sequence[PreprocessorInfo]:
        """All that makes control pictures, in the order of the table, and whether what each needs is here."""
        ...

    def controls(self) -> Sequence[ControlInfo]:
        """The models that follow control pictures, by name."""
        ...

    def count_tokens(self, checkpoint: str, prompt: str) -> TokenCount:
        """Tokens of `prompt` for the named checkpoint ("" is the default)."""
        ...

    def status(self) -> EngineStatus: ...

    def memory(self) -> MemoryReport:
        """Which models are in memory, as the worker last told; empty where there is no worker."""
        ...

    def load(self, name: str) -> None:
        """Have a checkpoint loaded once the running job has ended. Raises `UserError` if there is none of that name.

        This and the next three return before it is done; what goes wrong then is told by `status().notice`.
        """
        ...

    def stop_loading(self) -> None:
        """Give up the load that goes on and those that wait; what was loaded before stays."""
        ...

    def keep(self, name: str, keep: bool) -> None:
        """Keep a checkpoint in memory once it is loaded, or no longer. Raises `UserError` as `load`."""
        ...

    def unload(self, name: str) -> None:
        """Free a checkpoint's memory, and keep it no longer. Raises `UserError` as `load`."""
        ...

    def rescan(self) -> None:
        """Look at the folders again, also for what is to be hashed."""
        ...

    def read_ahead(self, name: str) -> None:
        """A job with this checkpoint may come: have its files read while something else runs. Never raises."""
        ...

    def close(self) -> None:
        """Stop the worker. Waiting jobs fail with a sentence."""
        ...
