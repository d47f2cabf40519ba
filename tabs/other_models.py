"""What stands beside checkpoints, as HTML: LoRAs, control models, IP-Adapters, each with what its file tells of it."""

from collections.abc import Collection, Sequence

from pipelines.engine.jobs import ControlInfo, LoraInfo
from tabs import badges, markup

_LORAS = ("LoRA", "Kind", "Family", "Size", "Where", "Trigger words")
_CONTROLS = ("Kind", "Family", "Size")


def loras(infos: Sequence[LoraInfo], in_memory: Collection[str]) -> str:
    """The table of LoRAs; those that cannot be used say why. `in_memory` names those that need not be read again."""
    return _table(_LORAS, [(info.name, info.problem, _lora_cells(info, info.name in in_memory)) for info in infos])


def controls(infos: Sequence[ControlInfo], what: str = "Control model") -> str:
    """The table of control models, or `what` else follows pictures; those that cannot be used say why."""
    return _table((what, *_CONTROLS), [(info.name, info.problem, _control_cells(info)) for info in infos])


def _lora_cells(info: LoraInfo, is_in_memory: bool) -> list[str]:
    residence = "ram" if is_in_memory else "disk"
    kind = info.kind + (f", rank {info.rank}" if info.rank else "")
    return [
        markup.escaped(kind),
        markup.escaped(badges.short_family(info.family)),
        badges.size_in_words(info.size_bytes),
        f'<span class="badge {residence}">{badges.RESIDENCES[residence]}</span>',
        markup.escaped(", ".join(info.trigger_words)),
    ]


def _control_cells(info: ControlInfo) -> list[str]:
    return [
        markup.escaped(info.kind),
        markup.escaped(badges.short_family(info.family)),
        badges.size_in_words(info.size_bytes),
    ]


def _table(columns: Sequence[str], rows: Sequence[tuple[str, str, Sequence[str]]]) -> str:
    """Rows are a name, why it cannot be used (or nothing), and cells in HTML; without rows there is no table."""
    if not rows:
        return ""
    head = "".join(f'<th scope="col">{column}</th>' for column in columns)
    body = "".join(_row(columns[1:], *row) for row in rows)
    return f'<table class="models plain"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def _row(columns: Sequence[str], name: str, problem: str, cells: Sequence[str]) -> str:
    if problem:
        rest = f'<td colspan="{len(columns)}">{markup.escaped(problem)}</td>'
    else:
        rest = "".join(f'<td data-column="{column}">{cell}</td>' for column, cell in zip(columns, cells, strict=True))
    return f'<tr><th scope="row">{markup.escaped(name)}</th>{rest}</tr>'
