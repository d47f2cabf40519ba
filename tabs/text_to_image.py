"""The tab that makes pictures from words."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from pipelines.engine.jobs import Engine, ModelInfo
from presets.errors import UserError
from presets.fields import RANDOM_SEED, SIDE_MAXIMUM, SIDE_MINIMUM, SIDE_STEP
from presets.requests import TextToImage
from presets.samplers import SCHEDULES_OF
from tabs import loras, markup
from tabs.badges import label
from tabs.form import Form
from tabs.output import Output, Pictures
from tabs.run import connect
from tabs.updates import on_page_load, update

PORTRAIT, LANDSCAPE = 2 / 3, 3 / 2
"""Width divided by height of the quick sizes."""
PROBLEMS_SHOWN = 3


def build(engine: Engine) -> Form[TextToImage]:
    form = Form(TextToImage)
    with gr.Row(elem_classes="workspace"):
        with gr.Column(elem_classes="words"):
            counters = {name: _prompt(form, name, hint) for name, hint in _HINTS.items()}
            with gr.Row(elem_classes="run-buttons"):
                generate = gr.Button(
                    "Generate", variant="primary", elem_id="generate", elem_classes="generate", scale=3
                )
                cancel = gr.Button("Cancel", interactive=False, elem_id="cancel", scale=1, min_width=90)
        with gr.Column(elem_classes="settings"):
            unusable = _checkpoint(engine, form)
            form.widget("steps")
            with gr.Column(elem_classes="seed"):
                form.widget("seed")
                with gr.Row(elem_classes="seed-buttons"):
                    random_seed = gr.Button("New seed each time", size="sm", elem_id="random-seed")
                    reuse_seed = gr.Button("Seed of the picture shown", size="sm", elem_id="reuse-seed")
            with gr.Accordion("Advanced", open=False, elem_id="advanced"):
                _advanced(engine, form)
        with gr.Column(elem_classes="result"):
            output = Output()
    _count_tokens(engine, form, counters)
    ended = connect(engine, form, output, generate, cancel)
    _keep_checkpoints_fresh(engine, form, unusable, ended)
    output.connect(form)
    update(random_seed.click, lambda: RANDOM_SEED, None, form.widgets["seed"])
    update(reuse_seed.click, seed_of, [output.pictures, output.selected], form.widgets["seed"])
    return form


_HINTS = {"prompt": "a red house by the sea at sunset", "negative_prompt": "what to leave out"}


def _prompt(form: Form, name: str, placeholder: str) -> gr.HTML:
    with gr.Column(elem_classes="counted"):
        form.widget(name, placeholder=placeholder)
        return gr.HTML(elem_classes="token-count", elem_id=form.element_id(name) + "-tokens")


def _checkpoint(engine: Engine, form: Form) -> gr.HTML:
    """The list of checkpoints, each with its badge. What is chosen is read ahead. Returns where files are told of that
    cannot be used."""
    models = engine.models()
    name = models[0].name if models else ""
    box = form.widget("checkpoint", choices=[label(model) for model in models], value=name or None)
    note = gr.HTML(note_of(models, name), elem_id="checkpoint-note")
    update(box.change, lambda name: note_of(engine.models(), name), box, note)
    update(box.change, lambda name: engine.read_ahead(str(name or "")), box, None)
    return gr.HTML(problem_lines(engine.problems()), elem_id="checkpoint-problems")


def _keep_checkpoints_fresh(engine: Engine, form: Form, unusable: gr.HTML, ended: Any) -> None:
    """Look again when the page opens, the list is opened, and a job has `ended`."""
    box = form.widgets["checkpoint"]
    assert isinstance(box, gr.Dropdown)

    def look_again() -> tuple[Any, str]:
        return gr.update(choices=[label(model) for model in engine.models()]), problem_lines(engine.problems())

    for event in (on_page_load, box.focus, ended.then):
        update(event, look_again, None, [box, unusable])


def _advanced(engine: Engine, form: Form) -> None:
    with gr.Row():
        sampler = form.widget("sampler")
        schedule = form.widget("schedule")
    update(sampler.change, schedules_for, [sampler, schedule], schedule)
    form.widget("guidance_scale")
    with gr.Row():
        form.widget("guidance_end", min_width=200)
        form.widget("token_merging", min_width=200)
    with gr.Row():
        sides = [form.widget(side, placeholder="native", min_width=100) for side in ("width", "height")]
    with gr.Row(elem_classes="quick-sizes"):
        native = gr.Button("Native", size="sm", min_width=70, elem_id="size-native")
        portrait = gr.Button("Portrait", size="sm", min_width=70, elem_id="size-portrait")
        landscape = gr.Button("Landscape", size="sm", min_width=70, elem_id="size-landscape")
        swap = gr.Button("Swap ⇄", size="sm", min_width=70, elem_id="size-swap")
    checkpoint = form.widgets["checkpoint"]
    update(native.click, lambda: (None, None), None, sides)
    update(portrait.click, lambda name: side_lengths(engine.models(), name, PORTRAIT), checkpoint, sides)
    update(landscape.click, lambda name: side_lengths(engine.models(), name, LANDSCAPE), checkpoint, sides)
    update(swap.click, lambda width, height: (height, width), sides, sides)
    form.widget("count")
    form.widget("clip_skip")
    vae = form.widget("vae", choices=["", *engine.vaes()])
    assert isinstance(vae, gr.Dropdown)
    update(vae.focus, lambda: gr.update(choices=["", *engine.vaes()]), None, vae)
    loras.build(engine, form)


def _count_tokens(engine: Engine, form: Form, counters: dict[str, gr.HTML]) -> None:
    checkpoint = form.widgets["checkpoint"]
    for name, counter in counters.items():
        box = form.widgets[name]

        def count(prompt: str, checkpoint: str) -> str:
            return token_line(engine, checkpoint, prompt)

        update(box.change, count, [box, checkpoint], counter)
        update(checkpoint.change, count, [box, checkpoint], counter)


def token_line(engine: Engine, checkpoint: str, prompt: str) -> str:
    """Such as "12 of 75 tokens"; empty where they cannot be counted."""
    try:
        counted = engine.count_tokens(checkpoint or "", prompt or "")
    except UserError:
        return ""
    parts = f", read in {counted.chunks} parts" if counted.chunks > 1 else ""
    return f"<p>{counted.tokens} of {max(counted.chunks, 1) * counted.chunk_size} tokens{parts}</p>"


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


def schedules_for(sampler: str, schedule: str) -> Any:
    """The schedules that go with `sampler`; the chosen one stays if it is among them."""
    allowed = SCHEDULES_OF.get(sampler, ("automatic",))
    return gr.update(choices=list(allowed), value=schedule if schedule in allowed else "automatic")


def side_lengths(models: Sequence[ModelInfo], name: str, ratio: float) -> tuple[int, int]:
    """(width, height) of the named checkpoint's native area at width/height `ratio`, on the grid."""
    model = next((model for model in models if model.name == name), models[0])
    area = model.native_size[0] * model.native_size[1]
    return _on_grid((area * ratio) ** 0.5), _on_grid((area / ratio) ** 0.5)


def _on_grid(length: float) -> int:
    return min(max(round(length / SIDE_STEP) * SIDE_STEP, SIDE_MINIMUM), SIDE_MAXIMUM)


def seed_of(pictures: Pictures, selected: int) -> Any:
    """The seed of the selected picture, or no change where there is none."""
    return pictures[selected].request.seed if selected < len(pictures) else gr.skip()
