"""What jobs take, learnt from those that ended: the estimate of how long others wait for them."""

from presets.requests import AnyRequest

SHARE_OF_NEW = 0.3
"""By how much the latest job of a kind and checkpoint changes what is expected of the next."""


class Costs:
    """Seconds per unit of work, by kind and checkpoint."""

    def __init__(self) -> None:
        self._rates: dict[tuple[str, str], float] = {}

    def learn(self, request: AnyRequest, seconds: float) -> None:
        """A job of `request` took `seconds`."""
        rate, known = seconds / request.work, self._rates.get(_key(request))
        self._rates[_key(request)] = rate if known is None else known + SHARE_OF_NEW * (rate - known)

    def expected(self, request: AnyRequest) -> float | None:
        """The seconds that a job of `request` will take; None where no like one has ended yet."""
        rate = self._rates.get(_key(request))
        return None if rate is None else rate * request.work


def _key(request: AnyRequest) -> tuple[str, str]:
    return request.kind, request.checkpoint_used
