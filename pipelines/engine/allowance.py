"""How much each user may have drawn in an hour, where that is limited."""

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pipelines.engine.errors import TooMuchWork
from pipelines.engine.jobs import Job

HOUR = 3600.0
"""Seconds."""
MEGA = 1e6


@dataclass(frozen=True, slots=True)
class _Spent:
    """Work that `job` of `owner` was accepted with at a time, in megapixel-steps."""

    at: float
    owner: str
    job: str
    work: float


class Allowance:
    """Not safe between threads by itself."""

    def __init__(self, limit: float | None, clock: Callable[[], float] = time.monotonic):
        """`limit` is in megapixel-steps of one user in an hour; None for none."""
        self._limit = limit
        self._clock = clock
        self._spent: deque[_Spent] = deque()

    def take_up(self, jobs: Iterable[Job]) -> None:
        """Count jobs that an earlier program took, the oldest first."""
        for job in jobs if self._limit is not None else ():
            at = self._clock() - (time.time() - job.created)
            self._spent.append(_Spent(at, job.owner, job.id, job.request.work / MEGA))

    def spend(self, job: Job) -> None:
        """Count a new job. Raises `TooMuchWork` where that is more than its owner may have drawn now."""
        if self._limit is None or not job.owner:
            return
        now, work = self._clock(), job.request.work / MEGA
        while self._spent and self._spent[0].at <= now - HOUR:
            self._spent.popleft()
        own = [spent for spent in self._spent if spent.owner == job.owner]
        left = self._limit - sum(spent.work for spent in own)
        if work > left:
            raise TooMuchWork(work, left, self._limit, _free_in(own, work - left, now))
        self._spent.append(_Spent(now, job.owner, job.id, work))

    def give_back(self, job: Job) -> None:
        """What was counted for a job that never began."""
        self._spent = deque(spent for spent in self._spent if spent.job != job.id)


def _free_in(own: list[_Spent], needed: float, now: float) -> float | None:
    """Seconds until so much more may be drawn; None where that is never so."""
    for spent in own:
        needed -= spent.work
        if needed <= 0:
            return spent.at + HOUR - now
    return None
