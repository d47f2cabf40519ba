"""Turns on the event loop: where many could go on at once, one after the other does, and the loop looks at everything
else in between. A thousand jobs that end together would else keep all other requests waiting for seconds."""

import asyncio
from collections import deque
from weakref import WeakKeyDictionary


class _Turns:
    """Of one event loop: who waits, in order."""

    def __init__(self, loop: asyncio.AbstractEventLoop):
        self._loop = loop
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_taken = False

    async def take(self) -> None:
        if self._is_taken:
            waiter = self._loop.create_future()
            self._waiting.append(waiter)
            await waiter
        else:
            self._is_taken = True
            self._loop.call_soon(self._pass_on)

    def _pass_on(self) -> None:
        """Called once in each round of the loop, until nobody waits."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():  # else who waited has gone
                waiter.set_result(None)
                self._loop.call_soon(self._pass_on)
                return
        self._is_taken = False


_of_loops: "WeakKeyDictionary[asyncio.AbstractEventLoop, _Turns]" = WeakKeyDictionary()


async def turn() -> None:
    """Return at once where nobody else went on in this round of the event loop, else in a later one, in order."""
    loop = asyncio.get_running_loop()
    if loop not in _of_loops:
        _of_loops[loop] = _Turns(loop)
    await _of_loops[loop].take()
