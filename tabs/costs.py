"""What a picture cost, for people: seconds by part, the wait before, memory."""

from collections.abc import Mapping

from pipelines.engine.jobs import Saved
from tabs.badges import size_in_words

LEAST_TOLD = 0.05
"""Seconds."""


def rows(saved: Saved) -> list[tuple[str, object]]:
    """Label and text of each that is known."""
    told = [("Seconds", _seconds(saved.timings)), ("Waited", _wait(saved.timings)), ("Memory", _memory(saved))]
    return [(label, text) for label, text in told if text]


def _seconds(timings: Mapping[str, float]) -> str:
    """Such as "3.4 (load 0.3, denoise 3.0, decode 0.1)"."""
    parts = {part: seconds for part, seconds in timings.items() if part not in ("total", "queue")}
    total = timings.get("total", sum(parts.values()))
    told = ", ".join(f"{part} {seconds:.1f}" for part, seconds in parts.items() if seconds >= LEAST_TOLD)
    return (f"{total:.1f} ({told})" if told else f"{total:.1f}") if timings else ""


def _wait(timings: Mapping[str, float]) -> str:
    seconds = timings.get("queue", 0.0)
    return f"{seconds:.1f} s in the queue" if seconds >= LEAST_TOLD else ""


def _memory(saved: Saved) -> str:
    return f"{size_in_words(saved.peak_memory)} at most" if saved.peak_memory else ""
