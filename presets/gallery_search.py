"""Searches of the gallery as people write them: words, and fields such as `checkpoint:storybook starred:yes`.

A field's value may stand in quotes (`board:"To print"`), and `:=` asks for the whole name instead of a part of it. What
is in quotes without a field is searched for as it stands.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from datetime import time as time_of_day
from difflib import get_close_matches

from presets.errors import UserError, shortened
from presets.gallery_marks import SCHEMA
from presets.names import writable
from presets.requests import KINDS

TEXT_LIMIT = 2000
"""Characters."""
TERMS_LIMIT = 100
"""Words and fields of one search."""

_TERM = re.compile(r'(?:(?P<field>[A-Za-z_]+):(?P<exact>=?))?(?:"(?P<quoted>(?:[^"\\]|\\.)*)"(?=\s|$)|(?P<plain>\S+))')
_SIZE = re.compile(r"(\d{1,5})[x×](\d{1,5})")
_CURSOR = re.compile(r"(-?\d[\d.e+-]{0,30})~([\w-]{1,100})")
_WHOLE = re.compile(r"-?\d{1,16}")


class SearchRefused(UserError):
    """A search that says something that is not understood."""

    code = "E-SEARCH"


@dataclass(frozen=True, slots=True)
class Search:
    """Conditions in SQL on a picture `p` and its marks `m`, with their values. What lies in the trash is left out, or
    with `deleted` all else."""

    conditions: tuple[str, ...] = ()
    values: tuple[str | float, ...] = ()
    deleted: bool = False

    def also(self, condition: str, *values: str | float) -> "Search":
        return replace(self, conditions=(*self.conditions, condition), values=(*self.values, *values))

    def of(self, owner: str | None) -> "Search":
        """Only those of `owner`; of all where that is None."""
        return self if owner is None else self.also("+m.owner = ?", owner)

    def after(self, cursor: str) -> "Search":
        """Only those that come after the picture of that cursor; all where it is empty. Raises `SearchRefused`."""
        if not cursor:
            return self
        match = _CURSOR.fullmatch(cursor)
        try:
            created = float(match[1]) if match else None
        except ValueError:
            created = None
        if match is None or created is None:
            raise SearchRefused(f"after cannot be {shortened(cursor)}: it is the cursor of a page.", field="after")
        return self.also("(p.created, p.identifier) < (?, ?)", created, match[2])

    @property
    def where(self) -> str:
        shown = "m.deleted IS NOT NULL" if self.deleted else "m.deleted IS NULL"
        return " AND ".join((shown, *self.conditions))


def parsed(text: str) -> Search:
    """Raises `SearchRefused`, with a sentence that names the word that is wrong."""
    if len(text) > TEXT_LIMIT:
        raise SearchRefused(f"The search has {len(text):,} characters; at most {TEXT_LIMIT:,} are allowed.")
    terms = list(dict.fromkeys(match.group(0, *_TERM.groupindex) for match in _TERM.finditer(writable(text))))
    if len(terms) > TERMS_LIMIT:
        raise SearchRefused(f"The search has {len(terms):,} words; at most {TERMS_LIMIT} are allowed.")
    search = Search()
    for whole, field, exact, quoted, plain in terms:
        value = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        if field is None:
            search = search.also("instr(p.words, ?)", value.casefold())
        elif field.lower() == "deleted":
            search = replace(search, deleted=_yes(field, value))
        elif field.lower() in FIELDS:
            search = FIELDS[field.lower()](search, value, bool(exact))
        else:
            raise SearchRefused(_unknown(field, whole))
    return search


def _unknown(field: str, term: str) -> str:
    names = [*FIELDS, "deleted"]
    near = get_close_matches(field.lower()[:30], names, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    return (
        f"There is no field {shortened(field, 30)} to search by.{hint} There are: {', '.join(names)}. To search for "
        f'the words, put them in quotes: "{term[:40]}".'
    )


def _name(column: str) -> Callable[[Search, str, bool], Search]:
    def narrowed(search: Search, value: str, exact: bool) -> Search:
        test = "casefold({}) = ?" if exact else "instr(casefold({}), ?)"
        return search.also(test.format(column), value.casefold())

    return narrowed


def _lora(search: Search, value: str, exact: bool) -> Search:
    return search.also("instr(casefold(p.loras), ?)", f"\n{value.casefold()}\n" if exact else value.casefold())


def _board(search: Search, value: str, exact: bool) -> Search:
    test = "casefold(b.board) = ?" if exact else "instr(casefold(b.board), ?)"
    rows = f"SELECT 1 FROM {SCHEMA}.boards b WHERE b.identifier = p.identifier AND {test}"
    return search.also(f"EXISTS ({rows})", value.casefold())


def _number(column: str, name: str) -> Callable[[Search, str, bool], Search]:
    def narrowed(search: Search, value: str, exact: bool) -> Search:  # noqa: ARG001 - a number is always whole
        if not _WHOLE.fullmatch(value):
            raise SearchRefused(f"{name} must be a whole number, but is {shortened(value)}.")
        return search.also(f"{column} = ?", int(value))

    return narrowed


def _size(search: Search, value: str, exact: bool) -> Search:  # noqa: ARG001
    match = _SIZE.fullmatch(value.lower())
    if match is None:
        raise SearchRefused(f"size must be like 512x768, but is {shortened(value)}.")
    return search.also("p.width = ? AND p.height = ?", int(match[1]), int(match[2]))


def _kind(search: Search, value: str, exact: bool) -> Search:  # noqa: ARG001
    if value.lower() not in KINDS:
        raise SearchRefused(f"There is no kind {shortened(value)}. Kinds are: {', '.join(KINDS)}.")
    return search.also("p.kind = ?", value.lower())


def _starred(search: Search, value: str, exact: bool) -> Search:  # noqa: ARG001
    return search.also("ifnull(m.starred, 0) = ?", int(_yes("starred", value)))


def _yes(field: str, value: str) -> bool:
    if value.lower() not in ("yes", "no"):
        raise SearchRefused(f"{field} must be yes or no, but is {shortened(value)}.")
    return value.lower() == "yes"


def _after(search: Search, value: str, exact: bool) -> Search:  # noqa: ARG001
    return search.also("p.created >= ?", _begin("after", value))


def _before(search: Search, value: str, exact: bool) -> Search:  # noqa: ARG001
    return search.also("p.created < ?", _begin("before", value))


def _until(search: Search, value: str, exact: bool) -> Search:  # noqa: ARG001
    return search.also("p.created < ?", _begin("until", value, days=1))


def _on(search: Search, value: str, exact: bool) -> Search:  # noqa: ARG001
    return search.also("p.created >= ? AND p.created < ?", _begin("on", value), _begin("on", value, days=1))


def _begin(field: str, value: str, days: int = 0) -> float:
    """When that day begins here, or one so many days later, in seconds since 1970."""
    try:
        return datetime.combine(date.fromisoformat(value) + timedelta(days), time_of_day()).timestamp()
    except (ValueError, OverflowError, OSError):
        raise SearchRefused(f"{field} must be a day like 2026-11-30, but is {shortened(value)}.") from None


FIELDS: Mapping[str, Callable[[Search, str, bool], Search]] = {
    "checkpoint": _name("p.checkpoint"),
    "lora": _lora,
    "sampler": _name("p.sampler"),
    "seed": _number("p.seed", "seed"),
    "steps": _number("p.steps", "steps"),
    "width": _number("p.width", "width"),
    "height": _number("p.height", "height"),
    "size": _size,
    "kind": _kind,
    "starred": _starred,
    "board": _board,
    "on": _on,
    "after": _after,
    "until": _until,
    "before": _before,
}
"""Field -> the search narrowed by its value, which is a whole name or part of one. `after` and `until` count
their day, `before` does not."""
