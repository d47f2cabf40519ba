"""Preprocessors on the page: their names, which parameters each shows, and what each needs."""

from collections.abc import Mapping
from typing import Any

import gradio as gr
from gradio.components import Component

from pipelines.engine.jobs import Engine, PreprocessorInfo
from presets.preprocessors import FOLDER, PREPROCESSORS
from tabs import markup
from tabs.updates import update


def choices() -> list[tuple[str, str]]:
    """Title and name of each, as a list of choices takes them."""
    return [(row.title, name) for name, row in PREPROCESSORS.items()]


def follow(engine: Engine, preprocessor: gr.Dropdown, parameters: Mapping[str, Component], note: gr.HTML) -> None:
    """Show of `parameters` (by their names in `PreprocessSettings`) those that matter to the chosen preprocessor, and
    in `note` what it makes and needs."""

    def shown(name: str) -> list[Any]:
        wanted = _parameters_of(name)
        return [note_of(engine, name), *(gr.update(visible=parameter in wanted) for parameter in parameters)]

    name = str(preprocessor.value)
    note.value = note_of(engine, name)
    for parameter, component in parameters.items():
        component.visible = parameter in _parameters_of(name)
    update(preprocessor.change, shown, preprocessor, [note, *parameters.values()])


def _parameters_of(name: str) -> tuple[str, ...]:
    return next((row.parameters for known, row in PREPROCESSORS.items() if known == name), ())


def note_of(engine: Engine, name: str) -> str:
    """What the preprocessor makes, and what it lacks, as HTML; empty for a name that is none."""
    info = next((info for info in engine.preprocessors() if info.name == name), None)
    if info is None:
        return ""
    return markup.notice(info.help, () if info.is_here else (f"It needs {needs_line(info)}.",))


def needs_line(info: PreprocessorInfo) -> str:
    """Such as "ControlNetHED.pth in models/annotators, or the network to get it from lllyasviel/Annotators"."""
    if not info.needs:
        return "nothing"
    needs = " and ".join(info.needs)
    source = "" if info.is_here else f" in models/{FOLDER}, or the network to get it from {info.repository}"
    return f"{needs}{source}"


def table(engine: Engine) -> str:
    """All preprocessors, as HTML: what each needs, and whether that is here."""
    return markup.table((info.title, _state(info)) for info in engine.preprocessors())


def _state(info: PreprocessorInfo) -> str:
    if not info.needs:
        return info.help
    return (
        f"{info.help} {'Is here' if info.is_here else 'Is not here'}: {' and '.join(info.needs)} ({info.repository})."
    )
