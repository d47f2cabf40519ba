"""The part of a form that chooses the checkpoint: the list with badges, and what is to be said of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from pipelines.engine.jobs import Engine, ModelInfo
from tabs import markup
from tabs.badges import label
from tabs.form import Form
from tabs.updates import on_page_load, update

PROBLEMS_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The list, and the place under it that tells of files that cannot be used."""

    box: gr.Dropdown
    unusable: gr.HTML


def build(engine: Engine, form: Form) -> Checkpoint:
    """Put the field `checkpoint` here. What is chosen is read ahead."""
    models = engine.models()
    name = models[0].name if models else ""
    box = form.widget("checkpoint", choices=[label(model) for model in models], value=name or None)
    assert isinstance(box, gr.Dropdown)
    note = gr.HTML(
        note_of(models, name), elem_id=form.element_id("checkpoint-note"), elem_classes="note checkpoint-note"
    )
    update(box.change, lambda name: note_of(engine.models(), name), box, note)
    update(box.change, lambda name: engine.read_ahead(str(name or "")), box, None)
    unusable = gr.HTML(
        problem_lines(engine.problems()),
        elem_id=form.element_id("checkpoint-problems"),
        elem_classes="note checkpoint-problems",
    )
    return Checkpoint(box, unusable)


def keep_fresh(engine: Engine, checkpoint: Checkpoint, ended: Any) -> None:
    """Look again when the page opens, the list is opened, and a job has `ended`."""

    def look_again() -> tuple[Any, str]:
        return gr.update(choices=[label(model) for model in engine.models()]), problem_lines(engine.problems())

    for event in (on_page_load, checkpoint.box.focus, ended.then):
        update(event, look_again, None, [checkpoint.box, checkpoint.unusable])


def note_of(models: Sequence[ModelInfo], name: str) -> str:
    """The line under the checkpoint: its native size and what is to be said of it."""
    model = next((model for model in models if model.name == name), None)
    if model is None:
        return ""
    width, height = model.native_size
    return f"<p>{markup.escaped(f'{model.note} Native size {width} × {height}.'.strip())}</p>"


def problem_lines(problems: Sequence[str]) -> str:
    """Why files among the checkpoints are not listed, the first few of them."""
    lines = [f"Not listed: {problem}" for problem in problems[:PROBLEMS_SHOWN]]
    if len(problems) > PROBLEMS_SHOWN:
        lines.append(f"… and {len(problems) - PROBLEMS_SHOWN} more")
    return "".join(f"<p>{markup.escaped(line)}</p>" for line in lines)
