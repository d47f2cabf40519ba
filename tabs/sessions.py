"""Gradio's sessions, so that many of them are neither lost nor slow.

The list of the messages that wait for each holds 2,000 in Gradio 6.31 and forgets the oldest session for each new one,
also while its events run. A message for a session that is not in the list then ends the queue's loop with a `KeyError`,
for all sessions and for good.

For every new session Gradio describes each component of the page anew, with its JSON schemas, on the event loop: for a
page of 900 that is a tenth of a second, and a megabyte that stays. It needs that for links to a page's state alone,
which this page does not offer. It also lists all components anew; of a thousand such lists the collector of garbage
looks through every entry, and holds up everybody for as long.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import gradio as gr
from gradio.blocks import BlocksConfig
from gradio.queueing import Queue
from gradio.utils import LRUCache

from tabs import callers

SESSIONS = 2000
"""Above which idle ones are forgotten; so many, of those that were used last, keep their state. Those whose events run
or wait are fewer: see `RUNNING_EVENTS` in page.py."""


def guard(page: gr.Blocks) -> None:
    """Let the page's queue keep the sessions that wait, and end the jobs of those that leave, and its sessions begin at
    once. Before it is served."""
    page._queue.pending_messages_per_session = Sessions(page._queue)
    callers.watch(page._queue)
    page.default_config.__class__ = _PageConfig


_UNTOLD: dict[str, Any] = {}
"""What is told of a component in place of its description: Gradio adds to one only where it has `props`."""


class _PageConfig(BlocksConfig):
    """A page's configuration, of which each session has a copy."""

    def __copy__(self) -> BlocksConfig:
        copied = super().__copy__()
        copied.__class__ = _SessionConfig
        copied.blocks = _Own(self.blocks)
        return copied


class _Own(dict[int, Any]):
    """A session's own components, found before those of the page. Only these are gone through: what Gradio does with
    all of a session's components, it does with those that were made for it."""

    def __init__(self, of_the_page: Mapping[int, Any]):
        super().__init__()
        self._of_the_page = of_the_page

    def __missing__(self, key: int) -> Any:
        return self._of_the_page[key]

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key) or key in self._of_the_page

    def get(self, key: int, default: Any = None) -> Any:
        return super().get(key, self._of_the_page.get(key, default))


class _SessionConfig(BlocksConfig):
    """A session's, which describes only the components that it renders itself."""

    def config_for_block(  # pyright: ignore[reportIncompatibleMethodOverride] - static there, called on the object
        self, _id: int, rendered_ids: list[int], block: Any, renderable: Any = None
    ) -> dict[str, Any]:
        return _UNTOLD if renderable is None else BlocksConfig.config_for_block(_id, rendered_ids, block, renderable)


class Sessions(LRUCache[str, "asyncio.Queue[Any]"]):
    """Session -> its messages."""

    def __init__(self, queue: Queue, limit: int = SESSIONS):
        super().__init__(limit)
        self._queue = queue

    def __setitem__(self, key: str, value: "asyncio.Queue[Any]") -> None:
        if key not in self and len(self) >= self.max_size:
            self._forget_idle()
        OrderedDict.__setitem__(self, key, value if isinstance(value, callers.Messages) else callers.Messages(key))

    def __missing__(self, key: str) -> "asyncio.Queue[Any]":  # noqa: ARG002 - whoever it is, nobody reads it
        return asyncio.Queue()

    def _forget_idle(self) -> None:
        """The oldest half of the sessions of which no event runs or waits."""
        idle = [key for key in self if not self._is_waiting(key)]
        for key in idle[: (len(idle) + 1) // 2]:
            del self[key]
            self._queue.pending_event_ids_session.pop(key, None)

    def _is_waiting(self, key: str) -> bool:
        events = self._queue.pending_event_ids_session.get(key, ())
        return any(event in self._queue.event_ids_to_events for event in events)
