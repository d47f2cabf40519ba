"""Which waiting jobs are drawn at once, by what was measured. No torch."""

from collections.abc import Hashable

from presets.requests import AnyRequest


class Batches:
    """At most `limit` jobs of one `batch_key` at once, where trials have shown that it pays."""

    def __init__(self, limit: int):
        self._limit = limit
        self._tried: dict[tuple[Hashable, int], bool] = {}

    def number_for(self, request: AnyRequest) -> int:
        """How many jobs like that of `request` may be drawn at once, itself one of them."""
        results = [pays for (kind, _), pays in self._tried.items() if kind == _kind(request)]
        return self._limit if request.batch_key is not None and all(results) else 1

    def is_tried(self, request: AnyRequest, number: int) -> bool:
        """Whether so many jobs like that of `request` have been drawn at once and compared with one alone."""
        return (_kind(request), number) in self._tried

    def note(self, request: AnyRequest, number: int, *, pays: bool) -> None:
        """What a trial of `number` jobs like that of `request` gave; also where it failed."""
        self._tried[_kind(request), number] = pays


def _kind(request: AnyRequest) -> Hashable:
    """What time and rounding depend on most."""
    return request.checkpoint_used, request.canvas
