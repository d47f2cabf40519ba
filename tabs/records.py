"""What made a picture, as a record and as rows for people."""

from typing import Any

from pipelines.engine.jobs import Saved
from presets.checks import field_extra
from tabs import costs


def record(saved: Saved) -> dict[str, Any]:
    """What made a picture, for people and programs: its file's name, request, timings in seconds, warnings, and the
    most memory that was in use, in bytes."""
    return {
        "file": saved.path.name,
        "request": saved.request.model_dump(mode="json"),
        "timings": saved.timings,
        "peak_memory": saved.peak_memory,
        "warnings": list(saved.warnings),
        "notes": list(saved.notes),
    }


def rows_of(saved: Saved) -> list[tuple[str, object]]:
    """Label and value of every field that has a label, is set and has an effect, then its cost and warnings."""
    names = [name for name in type(saved.request).model_fields if name not in saved.request.without_effect]
    labels = {name: field_extra(type(saved.request), name).get("label") for name in names}
    values = [(label, getattr(saved.request, name)) for name, label in labels.items() if label]
    rows = [(label, in_words(value)) for label, value in values if value not in ("", (), None)]
    return rows + costs.rows(saved) + [("Note", note) for note in (*saved.notes, *saved.warnings)]


def in_words(value: object) -> object:
    """A field's value for a person."""
    return ", ".join(map(str, value)) if isinstance(value, tuple) else value
