"""What files of LoRAs tell of themselves, and what is wrong with some."""

import functools
import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from pipelines.engine.jobs import LoraInfo
from tabs import markup

PREVIEW_SIDE = 96
"""Pixels of the page; the picture has twice as many."""
PREVIEW_PIXELS = 40_000_000
PROBLEMS_SHOWN = 3


def details_of(infos: Sequence[LoraInfo], names: Sequence[str]) -> str:
    """What is known of the chosen ones, as HTML."""
    by_name = {info.name: info for info in infos}
    known = [by_name[name] for name in names if name in by_name]
    return "".join(markup.card(info.name, _facts(info), _preview(info.preview)) for info in known)


def _facts(info: LoraInfo) -> list[tuple[str, str]]:
    kind = f"{info.kind}, rank {info.rank}" if info.rank else info.kind
    facts = [
        ("Write", ", ".join(info.trigger_words)),
        ("For", info.family),
        ("Trained on", info.base_model),
        ("Kind", kind),
        ("Problem", info.problem),
    ]
    return [(name, text) for name, text in facts if text]


def problem_lines(infos: Sequence[LoraInfo]) -> str:
    """Why files among the LoRAs are not offered, the first few of them."""
    lines = [info.problem for info in infos if info.problem]
    more = [f"… and {len(lines) - PROBLEMS_SHOWN} more"] if len(lines) > PROBLEMS_SHOWN else []
    return "".join(f"<p>{markup.escaped(line)}</p>" for line in [*lines[:PROBLEMS_SHOWN], *more])


def _preview(path: Path | None) -> str:
    """The picture as a small data URL; empty where there is none that can be read."""
    try:
        return _thumbnail(path, path.stat().st_mtime_ns) if path else ""
    except OSError:
        return ""


@functools.lru_cache(maxsize=64)
def _thumbnail(path: Path, _changed: int) -> str:
    try:
        with Image.open(path, formats=("PNG", "JPEG", "WEBP")) as image:
            if image.width * image.height > PREVIEW_PIXELS:
                return ""
            image.draft("RGB", (PREVIEW_SIDE * 2, PREVIEW_SIDE * 2))
            small = image.convert("RGB")
            small.thumbnail((PREVIEW_SIDE * 2, PREVIEW_SIDE * 2))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return ""
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=85)
    return markup.jpeg_source(buffer.getvalue())
