"""What jobs take, learnt from those that ended: the estimate of how long others wait for them."""

from collections.abc import Callable

from presets.requests import AnyRequest

SHARE_OF_NEW = 0.3
"""By how much the latest job of a kind and checkpoint changes what is expected of the next."""


class Costs:
    """Seconds per unit of work, by kind and checkpoint.

    With a `guess`, which tells what is not known yet, what is expected is without the time that loading takes.
    """

    def __init__(self, guess: Callable[[AnyRequest], float] | None = None) -> None:
        self._guess = guess
        self._rates: dict[tuple[str, str], float] = {}

    def learn(self, request: AnyRequest, seconds: float, loading: float = 0.0) -> None:
        """A job of `request` took `seconds`, of which `loading` were for what it is drawn with."""
        seconds = max(0.0, seconds - loading) if self._guess else seconds
        rate, known = seconds / request.work, self._rates.get(_key(request))
        self._rates[_key(request)] = rate if known is None else known + SHARE_OF_NEW * (rate - known)

    def expected(self, request: AnyRequest) -> float | None:
        """The seconds that a job of `request` will take; None where no like one has ended yet and none
        guesses."""
        rate = self._rates.get(_key(request))
        if rate is None:
            return self._guess(request) if self._guess else None
        return rate * request.work


def _key(request: AnyRequest) -> tuple[str, str]:
    return request.kind, request.checkpoint_used
