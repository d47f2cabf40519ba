"""The order of waiting jobs. Pure but for `Line`, which holds them; no torch.

Whose turn it is goes round: each owner's first job, then each owner's second, and so on, so that nobody's hundred jobs
make another wait for a hundred. A job whose checkpoint is in memory may go before others, as it spares a switch; but
none is passed over so more than `PASSES` times, nor once `PASS_SECONDS` have gone by since the first time. The same
holds where jobs are drawn at once with the one whose turn it is.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from pipelines.engine.jobs import PASS_SECONDS, PASSES, Job

LOOK_AHEAD = 50
"""Jobs of the order that are looked through for one whose checkpoint is in memory."""

Item = TypeVar("Item")


@dataclass(slots=True)
class Place:
    """A job's place in the line. `passed` counts the jobs that went before it out of turn, since `passed_since`."""

    job: Job
    passed: int = 0
    passed_since: float = float("inf")

    def may_be_passed(self, now: float) -> bool:
        return self.passed < PASSES and now - self.passed_since < PASS_SECONDS


def in_turn(queues: Iterable[Sequence[Item]]) -> Iterator[Item]:
    """The first of each queue, then the second of each, and so on."""
    left, turn = list(queues), 0
    while left:
        for queue in left:
            if turn < len(queue):
                yield queue[turn]
        turn += 1
        left = [queue for queue in left if len(queue) > turn]


def chosen(order: Iterable[Place], resident: Container[str], now: float) -> int:
    """Which of `order` is next: the first whose checkpoint is `resident`, if all before it may be passed over; else
    the first."""
    for index, place in enumerate(islice(order, LOOK_AHEAD)):
        if place.job.request.checkpoint_used in resident:
            return index
        if not place.may_be_passed(now):
            break
    return 0


class Line:
    """The jobs that wait. Not safe between threads by itself: the engine calls it under its lock."""

    def __init__(self) -> None:
        self._queues: OrderedDict[str, list[Place]] = OrderedDict()
        """Owner -> own jobs in order; the owner whose turn is next comes first."""
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Job]:
        """The jobs in the order in which they will run, but for those that go before others to spare a switch."""
        return (place.job for place in in_turn(self._queues.values()))

    def __contains__(self, job: Job) -> bool:
        return self._index(job) is not None

    def append(self, job: Job) -> None:
        """Put a job behind its owner's others; an owner who has none waits for all others' turn first."""
        self._queues.setdefault(job.owner, []).append(Place(job))
        self._length += 1

    def put_first(self, job: Job) -> None:
        """Put a job before all others."""
        self._queues.setdefault(job.owner, []).insert(0, Place(job))
        self._queues.move_to_end(job.owner, last=False)
        self._length += 1

    def remove(self, job: Job) -> bool:
        """Take a job out; False if it does not wait."""
        index = self._index(job)
        if index is None:
            return False
        self._drop(job.owner, index)
        return True

    def move_up(self, job: Job) -> Job | None:
        """Let a job go before the one of its owner's that is before it, which is returned; None if there is none.
        Nobody else's place changes."""
        queue, index = self._queues.get(job.owner, []), self._index(job)
        if not index:
            return None
        before = queue[index - 1]
        queue[index - 1], queue[index] = queue[index], before
        return before.job

    def waiting_of(self, owner: str) -> int:
        """How many jobs of `owner` wait."""
        return len(self._queues.get(owner, ()))

    def position(self, job: Job) -> int:
        """The place of a waiting job in the order, from 1."""
        own, index = list(self._queues).index(job.owner), self._index(job)
        assert index is not None
        before = sum(min(len(queue), index + (i < own)) for i, queue in enumerate(self._queues.values()) if i != own)
        return before + index + 1

    def take(self, resident: Container[str], now: float | None = None) -> Job | None:
        """Take out the job that is next where the checkpoints `resident` are in memory. `now` is monotonic time."""
        now = time.monotonic() if now is None else now
        order = list(islice(in_turn(self._queues.values()), LOOK_AHEAD))
        if not order:
            return None
        index = chosen(order, resident, now)
        for place in order[:index]:
            place.passed += 1
            place.passed_since = min(place.passed_since, now)
        job = order[index].job
        self._drop(job.owner, self._queues[job.owner].index(order[index]))
        if job.owner in self._queues:
            self._queues.move_to_end(job.owner)
        return job

    def take_like(self, job: Job, number: int, is_new: Callable[[Job], bool], now: float | None = None) -> list[Job]:
        """Take out up to `number` jobs that can be drawn at once with `job`, which has been taken, and that are new:
        the next ones, as long as those that they pass over may be."""
        now = time.monotonic() if now is None else now
        passed: list[Place] = []
        taken: list[tuple[Place, int]] = []
        for place in islice(in_turn(list(self._queues.values())), LOOK_AHEAD):
            if len(taken) == number:
                break
            if place.job.request.batch_key == job.request.batch_key and is_new(place.job):
                taken.append((place, len(passed)))
            elif place.may_be_passed(now):
                passed.append(place)
            else:
                break
        for place in passed[: taken[-1][1] if taken else 0]:
            place.passed += 1
            place.passed_since = min(place.passed_since, now)
        for place, _ in taken:
            self._drop(place.job.owner, self._queues[place.job.owner].index(place))
        return [place.job for place, _ in taken]

    def _index(self, job: Job) -> int | None:
        queue = self._queues.get(job.owner, ())
        return next((index for index in reversed(range(len(queue))) if queue[index].job is job), None)

    def _drop(self, owner: str, index: int) -> None:
        del self._queues[owner][index]
        self._length -= 1
        if not self._queues[owner]:
            del self._queues[owner]
