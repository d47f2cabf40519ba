"""What the tabs of all kinds of drawing share: words, buttons, settings and the result, and how they work together."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from pipelines.engine.jobs import Engine
from presets.drawing import Drawing
from presets.errors import UserError
from presets.fields import RANDOM_SEED
from presets.samplers import SCHEDULES_OF
from tabs import checkpoint, loras, styles
from tabs.form import Form
from tabs.output import Output, Pictures
from tabs.run import connect, run_buttons
from tabs.updates import update

Place = Callable[[Engine, Form], object]
"""Puts widgets of one kind's own where it is called."""


def build(engine: Engine, form: Form, *, given: Place | None, settings: Place | None, sizes: Place) -> Output:
    """The whole tab of `form`: what is `given` (pictures) above the words, the kind's own `settings` above the steps,
    `sizes` among the advanced ones."""
    with gr.Row(elem_classes="workspace"):
        with gr.Column(elem_classes="words"):
            _put(given, engine, form)
            counters = {name: _prompt(form, name, hint) for name, hint in _HINTS.items()}
            generate, cancel = run_buttons(form)
        with gr.Column(elem_classes="settings"):
            chosen = checkpoint.build(engine, form)
            _put(settings, engine, form)
            form.widget("steps")
            random_seed, reuse_seed = _seed(form)
            with gr.Accordion("Advanced", open=False, elem_id=form.element_id("advanced"), elem_classes="advanced"):
                _advanced(engine, form, sizes)
        with gr.Column(elem_classes="result"):
            output = Output(form)
    _count_tokens(engine, form, counters)
    ended = connect(engine, form, output, generate, cancel)
    checkpoint.keep_fresh(engine, chosen, ended)
    output.connect(form)
    update(random_seed.click, lambda: RANDOM_SEED, None, form.widgets["seed"])
    update(reuse_seed.click, seed_of, [output.pictures, output.selected], form.widgets["seed"])
    return output


def _put(place: Place | None, engine: Engine, form: Form) -> None:
    if place is not None:
        place(engine, form)


_HINTS = {"prompt": "a red house by the sea at sunset", "negative_prompt": "what to leave out"}


def _prompt(form: Form, name: str, placeholder: str) -> gr.HTML:
    with gr.Column(elem_classes="counted"):
        form.widget(name, placeholder=placeholder)
        return gr.HTML(elem_classes="token-count", elem_id=form.element_id(name) + "-tokens")


def _seed(form: Form) -> tuple[gr.Button, gr.Button]:
    """The seed; the buttons for a random one and for that of the picture shown."""
    with gr.Column(elem_classes="seed"):
        form.widget("seed")
        with gr.Row(elem_classes="seed-buttons"):
            random_seed = gr.Button("New seed each time", size="sm", elem_id=form.element_id("random-seed"))
            reuse_seed = gr.Button("Seed of the picture shown", size="sm", elem_id=form.element_id("reuse-seed"))
    return random_seed, reuse_seed


def _advanced(engine: Engine, form: Form, sizes: Place) -> None:
    styles.build(engine, form)
    with gr.Row():
        sampler = form.widget("sampler")
        schedule = form.widget("schedule")
    update(sampler.change, schedules_for, [sampler, schedule], schedule)
    form.widget("guidance_scale")
    with gr.Row():
        form.widget("guidance_end", min_width=200)
        form.widget("token_merging", min_width=200)
        form.widget("step_cache", min_width=200)
    sizes(engine, form)
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


def schedules_for(sampler: str, schedule: str) -> Any:
    """The schedules that go with `sampler`; the chosen one stays if it is among them."""
    allowed = SCHEDULES_OF.get(sampler, ("automatic",))
    return gr.update(choices=list(allowed), value=schedule if schedule in allowed else "automatic")


def seed_of(pictures: Pictures, selected: int) -> Any:
    """The seed of the selected picture, or no change where there is none."""
    request = pictures[selected].request if selected < len(pictures) else None
    return request.seed if isinstance(request, Drawing) else gr.skip()
