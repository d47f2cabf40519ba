"""Jobs and their events: all that a face knows of the engine. No torch here.

Requests go down, events come up, both as JSON. A job's events are, in order: `Queued` (again as its
place changes), `Loading`, `Progress` and `Warned` as it runs, one `Saved` per picture, and at its end exactly one of
`Finished`, `Failed` and `Stopped`. What the request itself calls to warn of comes right after the first `Queued`.
"""

import asyncio
import contextlib
import hashlib
import threading
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from pipelines.engine.infos import ControlInfo, LoraInfo, MemoryReport, ModelInfo, TokenCount
from pipelines.engine.infos import PreprocessorInfo as PreprocessorInfo
from pipelines.engine.infos import Resident as Resident
from pipelines.engine.infos import Tier as Tier
from presets.errors import UserError
from presets.inputs import Inputs
from presets.requests import AnyRequest
from presets.styles import Styles


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, ser_json_bytes="base64", val_json_bytes="base64")


class Queued(_Event):
    """Waiting. `position` 1 is next; `detail` says what is waited for where that is not another job, `seconds` how long
    until it begins, where that can be told."""

    type: Literal["queued"] = "queued"
    position: int
    detail: str = ""
    seconds: float | None = None


class Loading(_Event):
    """Something that is not a step takes its time: libraries, a checkpoint, a download."""

    type: Literal["loading"] = "loading"
    doing: Literal["Loading", "Preparing", "Asking the Hub for", "Downloading"] = "Loading"
    what: str
    fraction: float | None = Field(default=None, ge=0, le=1)

    @property
    def line(self) -> str:
        return f"{self.doing} {self.what}…"


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
    tell of it what is no warning. `peak_memory` in bytes (see `pipelines/engine/peak_memory.py`)."""

    type: Literal["saved"] = "saved"
    index: int
    path: Path
    request: AnyRequest
    timings: dict[str, float] = {}
    peak_memory: int | None = None
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Finished(_Event):
    """All pictures are saved. Timings in seconds, which it shared with others where it was drawn `together` with them:
    so many jobs, itself one of them."""

    type: Literal["finished"] = "finished"
    timings: dict[str, float] = {}
    together: int = 1


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

PASSES = 8
"""How often a waiting job may be passed over by others whose checkpoint is in memory, at most."""
PASS_SECONDS = 60.0
"""For how long it may be."""


JobState = Literal["queued", "running", "done", "failed", "cancelled"]

_ENDINGS: dict[type[_Event], JobState] = {Finished: "done", Failed: "failed", Stopped: "cancelled"}


class Job:
    """One submitted request. Any thread may read it; `events()` and `stream()` may be called any number of times,
    each giving all events from the first (of an ended job without the previews).

    `owner` is whose it is, by a secret of theirs; empty for the program's own. A job that is not `kept` is dropped if
    it still waits some time after the last who watched it (by `stream`) has left. Times in seconds since 1970; `tries`
    counts how often it was begun since it last saved a picture. `visitor` is what tells ZeroGPU whose quota it takes,
    until it has ended; it is written nowhere. Only the engine changes any of these.
    """

    def __init__(
        self,
        request: AnyRequest,
        cancel: Callable[["Job"], None],
        *,
        owner: str = "",
        kept: bool = True,
        identifier: str = "",
        events: Sequence[Event] = (),
    ):
        self.id = identifier or uuid.uuid4().hex
        self.request = request
        self.owner = owner
        self.kept = kept
        self.created = time.time()
        self.started: float | None = None
        self.ended: float | None = None
        self.tries = 0
        self.visitor: Mapping[str, str] = {}
        self.place = 0
        """Its number among its owner's jobs, which wait in the order of these."""
        self.is_cancelled = False
        """Whether it has been asked to stop."""
        self._cancel = cancel
        self._events: list[Event] = list(events)
        self._changed = threading.Condition()
        self._listeners: set[Callable[[], None]] = set()
        self._unwatched_since = self.created
        self.is_seen = False
        """Whether anybody has read its `stream` to the end."""

    @property
    def done(self) -> bool:
        return bool(self._events) and isinstance(self._events[-1], LAST_EVENTS)

    @property
    def state(self) -> JobState:
        if self.done:
            return _ENDINGS[type(self._events[-1])]
        return "queued" if self.started is None else "running"

    @property
    def saved(self) -> list[Saved]:
        """The pictures that exist so far."""
        return [event for event in self._events if isinstance(event, Saved)]

    @property
    def mark(self) -> str:
        """What its pictures are told from others by; from it nobody can tell its `id`."""
        return hashlib.sha256(self.id.encode()).hexdigest()[:16]

    @property
    def warnings(self) -> list[str]:
        """What was warned of so far."""
        return [event.message for event in self._events if isinstance(event, Warned)]

    @property
    def lasting_events(self) -> list[Event]:
        """Those that tell what became of it: warnings, pictures and the last one."""
        return [event for event in self._events if isinstance(event, (Warned, Saved, *LAST_EVENTS))]

    @property
    def is_whole(self) -> bool:
        """Whether all its events are known, and not only the lasting ones, as of one that was read again."""
        return len(self.lasting_events) < len(self._events)

    @property
    def last_event(self) -> Event | None:
        return self._events[-1] if self._events else None

    @property
    def preview(self) -> bytes | None:
        """The picture that is being drawn, as far as it was last shown: a JPEG."""
        for event in reversed(self._events):
            if not isinstance(event, Progress) or event.preview:
                return event.preview if isinstance(event, Progress) else None
        return None

    @property
    def is_watched(self) -> bool:
        """Whether anybody reads its `stream` now."""
        return bool(self._listeners)

    def is_left(self, seconds: float) -> bool:
        """Whether nobody has watched it for `seconds`."""
        return not self._listeners and time.time() - self._unwatched_since > seconds

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
                self.visitor = {}
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

    async def stream(self, first: int = 0) -> AsyncGenerator[Event, None]:
        """As `events()` for an event loop, from event `first` on, at an end at once where an ended job has no such: a
        waiting caller holds no thread."""
        loop = asyncio.get_running_loop()
        news = asyncio.Event()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile: nobody listens any more
                loop.call_soon_threadsafe(news.set)

        with self._changed:
            self._listeners.add(wake)
        try:
            index = first
            while not self.done or index < len(self._events):
                while index < len(self._events):
                    yield self._events[index]
                    if isinstance(self._events[index], LAST_EVENTS):
                        self.is_seen = True
                        return
                    index += 1
                await news.wait()
                news.clear()
        finally:
            with self._changed:
                self._listeners.discard(wake)
                self._unwatched_since = time.time()

    def result(self) -> list[Saved]:
        """Wait for the end; the saved pictures, or `UserError` with the failure's sentence and code."""
        for event in self.events():
            if isinstance(event, Failed):
                raise UserError(event.message, code=event.code, field=event.field)
        return self.saved


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


class Tally(BaseModel):
    """What an engine has done: jobs by how they ended, their pictures and seconds, and workers that died."""

    model_config = ConfigDict(frozen=True)

    done: int = 0
    failed: int = 0
    cancelled: int = 0
    pictures: int = 0
    seconds: float = 0.0
    worker_deaths: int = 0


class Engine(Protocol):
    """The one seam between faces and work. Every method returns at once and may be called from any thread.

    `inputs` keeps the pictures that requests name, `styles` are those that they can name.
    """

    inputs: Inputs
    styles: Styles

    def submit(self, request: AnyRequest, *, owner: str = "", kept: bool = True) -> Job:
        """Queue a request. Raises `UserError` if it cannot work as far as can be told by now.

        When it returns, the job is written down: it outlives the program, if that serves a page.
        """
        ...

    def job(self, identifier: str) -> Job | None:
        """A job that waits or runs, or ended within the last day."""
        ...

    def jobs_of(self, owner: str) -> Sequence[Job]:
        """The jobs of `owner`, the newest first: those that wait or run, and the latest of those that ended."""
        ...

    def places(self, owner: str) -> Mapping[str, Queued]:
        """By job: the places of the jobs of `owner` that wait now."""
        ...

    def move_up(self, job: Job) -> bool:
        """Let a waiting job run before the one of the same owner's that was to run before it; False if none was."""
        ...

    def keep_job(self, job: Job) -> None:
        """Let a waiting job stay, whether anybody watches it or not."""
        ...

    def tally(self) -> "Tally":
        """What has been done since the program was started."""
        ...

    def models(self) -> Sequence[ModelInfo]:
        """The checkpoints there are now, the default first."""
        ...

    def vaes(self) -> Sequence[str]:
        """Names of the VAEs that can be chosen instead of a checkpoint's own."""
        ...

    def upscalers(self) -> Sequence[str]:
        """What can make pictures larger: models, the one that ships first, then ways of plain resampling."""
        ...

    def face_restorers(self) -> Sequence[str]:
        """The models that restore faces."""
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

    def ip_adapters(self) -> Sequence[ControlInfo]:
        """What has a checkpoint draw in the manner of pictures, and what they read these by, by name."""
        ...

    def motion_modules(self) -> Sequence[ControlInfo]:
        """What has a checkpoint draw animations, by name."""
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
        """Stop the worker. Waiting jobs end with a sentence; those that are written down go on at the next start."""
        ...
