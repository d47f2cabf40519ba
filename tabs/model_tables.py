"""Models as HTML: bars of memory against its budgets, the table of checkpoints, and one checkpoint in full."""

import html
from collections.abc import Sequence

from pipelines.engine.jobs import MemoryReport, ModelInfo, Resident, Tier
from tabs import badges, markup

TIERS = {"gpu": "GPU memory", "ram": "Main memory"}
COLOURS = 6
"""That `style.css` has for the parts of a bar, one after the other."""
REST_SHOWN = 0.01
"""Share of what is used that no model accounts for, above which it is shown."""
SHORT_HASH = 10
"""Digits, as other programs show them."""
PROBLEMS_SHOWN = 50


def memory(report: MemoryReport) -> str:
    """A bar for each tier: how much of its budget each model takes."""
    if report.lent:
        return markup.notice(
            "ZeroGPU lends a GPU to each job and takes it back. A job loads what it needs, and finds it there if the "
            "one before it has just left; between jobs nothing can be loaded, kept or unloaded."
        )
    if not report.tiers:
        return markup.notice("What is in memory is shown here once the engine is ready.")
    return "".join(_tier(tier, [part for part in report.residents if part.tier == tier.name]) for tier in report.tiers)


def _tier(tier: Tier, residents: Sequence[Resident]) -> str:
    shares = [(_of_resident(resident), resident.bytes, f"part-{i % COLOURS}") for i, resident in enumerate(residents)]
    rest = tier.used_bytes - sum(resident.bytes for resident in residents)
    if rest > REST_SHOWN * tier.used_bytes:
        shares.append((f"copies and other weights · {badges.size_in_words(rest)}", rest, "part-rest"))
    whole = max(sum(size for _, size, _ in shares), tier.budget_bytes, 1)
    line = f"{badges.size_in_words(tier.used_bytes)} of {badges.size_in_words(tier.budget_bytes)} for models"
    parts = "".join(
        f'<div class="{colour}" style="width:{size / whole:.2%}" title="{html.escape(text)}"></div>'
        for text, size, colour in shares
    )
    over = f'<i style="left:{tier.budget_bytes / whole:.2%}"></i>' if whole > tier.budget_bytes else ""
    legend = "".join(f'<li><span class="{colour}"></span>{markup.escaped(text)}</li>' for text, _, colour in shares)
    return (
        f'<section class="tier"><p><b>{TIERS[tier.name]}</b> <span>{line}</span></p>'
        f'<div class="tier-bar" role="img" aria-label="{TIERS[tier.name]}: {line}">{parts}{over}</div>'
        f"<ul>{legend or '<li>No model is loaded.</li>'}</ul></section>"
    )


def _of_resident(resident: Resident) -> str:
    words = [resident.name, badges.size_in_words(resident.bytes)]
    words += ["kept"] * resident.kept + ["in use"] * resident.pinned
    return " · ".join(words)


_COLUMNS = ("Checkpoint", "Family", "Size", "Where", "Last switch", "Kept", "Hash")


def checkpoints(models: Sequence[ModelInfo], chosen: ModelInfo | None) -> str:
    """The table; each name is a button, and each row says by `data-model` which model it is."""
    head = "".join(f'<th scope="col">{column}</th>' for column in _COLUMNS)
    rows = "".join(_row(model, model is chosen) for model in models)
    return f'<table class="models"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'


def _row(model: ModelInfo, is_chosen: bool) -> str:
    seconds = "" if model.switch_seconds is None else badges.seconds_in_words(model.switch_seconds)
    where = f'<span class="badge {model.residence}">{badges.RESIDENCES[model.residence]}</span>'
    cells = [
        badges.short_family(model.family),
        badges.size_in_words(model.size_bytes),
        where,
        seconds,
        "kept" if model.kept else "",
        f"<code>{model.sha256[:SHORT_HASH]}</code>" if model.sha256 else "",
    ]
    twin = f"<small>same content as {markup.escaped(model.duplicate_of)}</small>" if model.duplicate_of else ""
    name = f'<th scope="row"><button type="button">{markup.escaped(model.name)}</button>{twin}</th>'
    columns = zip(_COLUMNS[1:], cells, strict=True)
    others = "".join(f'<td data-column="{column}">{cell}</td>' for column, cell in columns)
    state = ' aria-selected="true"' if is_chosen else ""
    return f'<tr data-model="{html.escape(model.name)}"{state}>{name}{others}</tr>'


def details(model: ModelInfo) -> str:
    """Everything about one checkpoint."""
    width, height = model.native_size
    rows = [
        ("Checkpoint", model.name),
        ("Family", model.family),
        ("Native size", f"{width} × {height}"),
        ("On disk", badges.size_in_words(model.size_bytes)),
        ("SHA-256", model.sha256 or "not read yet"),
    ]
    if model.duplicate_of:
        rows.append(("Duplicate of", model.duplicate_of))
    return markup.table(rows) + (markup.notice(model.note) if model.note else "")


def problems(sentences: Sequence[str]) -> str:
    """Why files among the checkpoints cannot be used."""
    if not sentences:
        return ""
    shown = "".join(f"<li>{markup.escaped(sentence)}</li>" for sentence in sentences[:PROBLEMS_SHOWN])
    more = f"<li>… and {len(sentences) - PROBLEMS_SHOWN} more</li>" if len(sentences) > PROBLEMS_SHOWN else ""
    return (
        f"<details open><summary>Files that cannot be used: {len(sentences)}</summary><ul>{shown}{more}</ul></details>"
    )
