"""Wrong passwords slow down who tries them: after a few, each further one must wait twice as long as the one before."""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

FREE = 5
"""Wrong ones in a row that cost nothing: people mistype."""
LONGEST = 60.0
"""Seconds between two tries at most."""
FORGOTTEN = 3600.0
"""Seconds after which a row of wrong ones begins anew."""
KNOWN = 10_000
"""Of who tried in vain, the latest that are remembered."""


class Guesses:
    """Who tries is told apart by any key: an address and the name that is signed in as, so that one who guesses does
    not shut out the person whose name it is."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._wrong: OrderedDict[Hashable, tuple[int, float]] = OrderedDict()
        """How many in a row, and when the last one was."""

    def wait(self, who: Hashable) -> float:
        """Seconds until another password of theirs is looked at; 0 for at once."""
        count, last = self._wrong.get(who, (0, 0.0))
        if count < FREE:
            return 0.0
        return max(0.0, last + min(LONGEST, 2.0 ** (count - FREE)) - self._clock())

    def wrong(self, who: Hashable) -> None:
        count, last = self._wrong.pop(who, (0, 0.0))
        now = self._clock()
        self._wrong[who] = (1 if now - last > FORGOTTEN else count + 1, now)
        while len(self._wrong) > KNOWN:
            self._wrong.popitem(last=False)

    def right(self, who: Hashable) -> None:
        self._wrong.pop(who, None)
