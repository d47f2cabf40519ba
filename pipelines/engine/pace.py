"""How often something is told that changes faster than anybody looks."""

import time


class Pace:
    """Says when it is time again: at most every `interval` seconds."""

    def __init__(self, interval: float):
        self._interval = interval
        self._next = 0.0

    def due(self) -> bool:
        """Whether it is time now; if so, the next is `interval` away."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + self._interval
        return True
