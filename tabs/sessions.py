"""Gradio's list of sessions and the messages that wait for them, which must not lose one that still waits.

That of Gradio 6.31 holds 2,000 and forgets the oldest for each new one, also while its events run. A message for a
session that is not in the list then ends the queue's loop with a `KeyError`, for all sessions and for good.
"""

import asyncio
from collections import OrderedDict
from typing import Any

import gradio as gr
from gradio.queueing import Queue
from gradio.utils import LRUCache

SESSIONS = 2000
"""Above which idle ones are forgotten. Those whose events run or wait are fewer: see `RUNNING_EVENTS` in page.py."""


def guard(page: gr.Blocks) -> None:
    """Give the page's queue a list of sessions that keeps those that wait. Before it is served."""
    page._queue.pending_messages_per_session = Sessions(page._queue)


class Sessions(LRUCache[str, "asyncio.Queue[Any]"]):
    """Session -> its messages."""

    def __init__(self, queue: Queue, limit: int = SESSIONS):
        super().__init__(limit)
        self._queue = queue

    def __setitem__(self, key: str, value: "asyncio.Queue[Any]") -> None:
        if key not in self and len(self) >= self.max_size:
            self._forget_idle()
        OrderedDict.__setitem__(self, key, value)

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
