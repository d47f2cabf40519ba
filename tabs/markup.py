"""The page's own HTML. Every text that a person could have written is escaped here and nowhere else."""

import base64
import html
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

SHOWN_SIDE = 512
"""Pixels that the longer side of a smaller picture is shown at."""

TEXT_SHOWN = 20_000
"""Characters of a long text."""


def escaped(text: object) -> str:
    """`text` that shows literally as HTML, in its own direction (it may hold right-to-left marks)."""
    return f"<bdi>{html.escape(str(text))}</bdi>"


def picture(source: str, size: tuple[int, int], description: str, *, finished: bool) -> str:
    """The big picture. `source` is a URL, `size` its full (width, height) in pixels."""
    width, height = size
    shown = round(width * max(1.0, SHOWN_SIDE / max(width, height)))
    image = (
        f'<img src="{html.escape(source)}" alt="{html.escape(description)}" '
        f'style="width:{shown}px;aspect-ratio:{width}/{height}">'
    )
    return f'<figure class="stage {"finished" if finished else "preview"}">{image}</figure>'


def empty_stage(text: str = "Your pictures appear here") -> str:
    return f'<figure class="stage empty"><p>{escaped(text)}</p></figure>'


def jpeg_source(data: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode('ascii')}"


def webp_source(data: bytes) -> str:
    return f"data:image/webp;base64,{base64.b64encode(data).decode('ascii')}"


def file_source(path: Path) -> str:
    """The address of a file under the folders that the page may serve, relative to the page."""
    return f"gradio_api/file={quote(path.as_posix())}"


def progress(line: str, fraction: float | None) -> str:
    """A line of text above a bar; the bar only moves along where no fraction is known."""
    known = "" if fraction is None else f' style="width:{fraction:.1%}"'
    bar = f'<div class="bar{" unknown" if fraction is None else ""}"><div{known}></div></div>'
    return f'<div class="progress" role="status"><p>{escaped(line)}</p>{bar}</div>'


def notice(line: str, notes: Iterable[str] = ()) -> str:
    more = "".join(f"<p>{escaped(note)}</p>" for note in notes)
    return f'<div class="notice" role="status"><p>{escaped(line)}</p>{more}</div>' if line or more else ""


def error(message: str) -> str:
    return f'<div class="error-line" role="alert"><p>{escaped(message)}</p></div>'


def table(rows: Iterable[tuple[str, object]]) -> str:
    cells = "".join(f"<dt>{escaped(name)}</dt><dd>{escaped(value)}</dd>" for name, value in rows)
    return f'<dl class="details">{cells}</dl>'


def download(path: Path) -> str:
    return (
        f'<a class="download" href="{html.escape(file_source(path))}" download="{html.escape(path.name)}">Download</a>'
    )


def file_of(name: str, content: bytes, text: str) -> str:
    """A link that saves `content` as a file."""
    source = f"data:application/octet-stream;base64,{base64.b64encode(content).decode('ascii')}"
    return f'<a class="download" href="{source}" download="{html.escape(name)}">{escaped(text)}</a>'


def link(address: str, text: str, tip: str) -> str:
    """A link into a page of its own, which looks like `file_of`."""
    return (
        f'<a class="download" href="{html.escape(address)}" target="_blank" title="{html.escape(tip)}">'
        f"{escaped(text)}</a>"
    )


def card(title: str, facts: Iterable[tuple[str, str]], source: str) -> str:
    """A few facts under a title, beside a small picture where `source` (a URL) is given."""
    image = f'<img src="{html.escape(source)}" alt="">' if source else ""
    return f'<div class="card">{image}<div><p><strong>{escaped(title)}</strong></p>{table(facts)}</div></div>'


def section(title: str, content: str) -> str:
    """`content`, which is HTML, under a small heading."""
    return f'<section class="told"><h3>{escaped(title)}</h3>{content}</section>'


def notices(title: str, lines: Iterable[str]) -> str:
    """Sentences under a small heading; nothing where there are none."""
    items = "".join(f"<li>{escaped(line)}</li>" for line in lines)
    return section(title, f"<ul>{items}</ul>") if items else ""


def texts(named: Iterable[tuple[str, str]]) -> str:
    """Long texts as they are, each under its name."""
    return "".join(section(name, f"<pre>{escaped(text[:TEXT_SHOWN])}</pre>") for name, text in named)
