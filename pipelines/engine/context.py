"""What a runner is given beside its request."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from PIL import Image

from pipelines.engine import peak_memory
from pipelines.engine.errors import Cancelled
from pipelines.engine.jobs import Event, Saved, Warned
from presets.control_pictures import ControlPictures
from presets.gallery import Gallery
from presets.inputs import Inputs
from presets.requests import AnyRequest

if TYPE_CHECKING:
    from pipelines.engine.conditioning import Conditioner
    from pipelines.engine.manager import PipelineManager
    from pipelines.engine.policy import Policy


@dataclass(frozen=True, slots=True)
class Context:
    """The models, the pictures given, the way to report and the way to save, for one job.

    `models` hands out pipelines, `policy` says what was decided for the device, `conditioner` encodes prompts and
    remembers them from job to job. `hashes` are those known of the request's files ("checkpoint": SHA-256), which each
    saved picture carries, as it does `warnings`, the sentences told so far. `first` is the index of the first picture
    that is to be made, for which the job waited `waited` seconds. `control_pictures` are those made before; without,
    each is made anew. `mark` is the job's, by which its pictures are told from others of the same request. What is
    saved is `owner`'s. Before, `inspect` is given each picture (and frame) and its number, from 1, and may raise.
    """

    models: "PipelineManager"
    policy: "Policy"
    conditioner: "Conditioner"
    gallery: Gallery
    inputs: Inputs
    send: Callable[[Event], None]
    is_cancelled: Callable[[], bool]
    hashes: Mapping[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    first: int = 0
    control_pictures: ControlPictures | None = None
    waited: float = 0.0
    mark: str = ""
    owner: str = ""
    inspect: Callable[[Image.Image, int], None] | None = None

    def report(self, event: Event) -> None:
        """Send an event to whoever watches the job. Every report is a place to stop: raises `Cancelled`."""
        self.check()
        self.send(event)

    def check(self) -> None:
        """Raise `Cancelled` if the job has been cancelled."""
        if self.is_cancelled():
            raise Cancelled

    def warn(self, message: str) -> None:
        """Tell whoever watches, and the metadata of the pictures saved from now on. What was told is not told again."""
        if message not in self.warnings:
            self.report(Warned(message=message))
            self.warnings.append(message)

    def remaining(self, count: int) -> range:
        """The indices of the `count` pictures of a job that are to be made: all, unless memory ran out in between and
        the runner was called again."""
        return range(self.first, count)

    def save(
        self,
        index: int,
        image: Image.Image,
        request: AnyRequest,
        timings: Mapping[str, float],
        about: Mapping[str, Any],
        notes: tuple[str, ...] = (),
        following: Sequence[Image.Image] = (),
    ) -> Saved:
        """Put picture `index` into the gallery with the request that makes it alone, and tell the job. In an animation
        frames are `following` it.

        `about` is what else stands in the picture's metadata (device, precision, versions), `notes` what is told of it
        there and to the person; timings in seconds, to which the time in the queue is added. The picture is kept even
        if the job is cancelled at this moment.
        """
        if self.inspect:
            for frame in (image, *following):
                self.inspect(frame, index + 1)
        warnings = tuple(self.warnings)
        costs = {"queue": round(self.waited if index == self.first else 0.0, 4), **timings}
        peak = peak_memory.peak(self.policy.device)
        peak_memory.count_anew(self.policy.device)
        record = {"timings": costs, "peak_memory": peak, "warnings": list(warnings), **about}
        others = {"hashes": dict(self.hashes), "notes": list(notes), "job": self.mark}
        record |= {name: value for name, value in others.items() if value}
        path = self.gallery.add(image, request, record, owner=self.owner, following=following)
        saved = Saved(
            index=index,
            path=path,
            request=request,
            timings=costs,
            peak_memory=peak,
            warnings=warnings,
            notes=notes,
        )
        self.send(saved)
        return saved
