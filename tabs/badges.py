"""Models in a few words: where they are, of which family, how large, how quick to switch to."""

from pipelines.engine.jobs import ModelInfo
from tabs.widgets import LABEL_MARK

RESIDENCES = {"gpu": "GPU", "ram": "RAM", "disk": "disk"}
_UNITS = ("bytes", "KB", "MB", "GB", "TB")


def label(model: ModelInfo) -> tuple[str, str]:
    """A choice of a list: what is shown, and the plain name that it stands for."""
    return f"{model.name}{LABEL_MARK}· {badge(model)}", model.name


def badge(model: ModelInfo) -> str:
    """Such as "RAM · SD 1.x · 27 MB · switch 0.4 s"; what is not known is left out."""
    parts = [RESIDENCES[model.residence], short_family(model.family)]
    if model.size_bytes:
        parts.append(size_in_words(model.size_bytes))
    if model.switch_seconds is not None:
        parts.append(f"switch {seconds_in_words(model.switch_seconds)}")
    return " · ".join(parts)


def short_family(title: str) -> str:
    return title.replace("Stable Diffusion", "SD")


def size_in_words(size: int) -> str:
    """Bytes in decimal units, as file managers and drives count: "27 MB", "2.1 GB"."""
    value, unit = float(size), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.1f} {_UNITS[unit]}" if value < 9.95 and unit > 1 else f"{value:.0f} {_UNITS[unit]}"


def seconds_in_words(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
