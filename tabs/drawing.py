"""What the tabs of all kinds of drawing share: words, buttons, settings and the result, and how they work together."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from pipelines.engine.jobs import Engine
from presets.errors import UserError
from presets.fields import RANDOM_SEED
from presets.requests import drawing_of
from presets.samplers import SCHEDULES_OF
from tabs import checkpoint, loras, references, styles
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
            counters = {name: prompt_box(form, name, hint) for name, hint in _HINTS.items()}
            generate, cancel = run_buttons(form)
        with gr.Column(elem_classes="settings"):
            chosen = checkpoint.build(engine, form)
            _put(settings, engine, form)
            form.widget("steps")
            connect_seed = seed_row(form)
            with gr.Accordion("Advanced", open=False, elem_id=form.element_id("advanced"), elem_classes="advanced"):
                _advanced(engine, form, sizes)
        with gr.Column(elem_classes="result"):
            output = Output(form)
    count_tokens(engine, form, counters)
    ended = connect(engine, form, output, generate, cancel)
    checkpoint.keep_fresh(engine, chosen, ended)
    output.connect(form)
    connect_seed(output)
    return output


def _put(place: Place | None, engine: Engine, form: Form) -> None:
    if place is not None:
        place(engine, form)


_HINTS = {"prompt": "a red house by the sea at sunset", "negative_prompt": "what to leave out"}


def prompt_box(form: Form, name: str, placeholder: str) -> gr.HTML:
    """Put the words of field `name` here; the place under them that tells how many tokens they are."""
    with gr.Column(elem_classes="counted"):
        form.widget(name, placeholder=placeholder)
        return gr.HTML(elem_classes="token-count", elem_id=form.element_id(name) + "-tokens")


def seed_row(form: Form) -> Callable[[Output], None]:
    """Put the seed here, with a button for a random one and one for that of the picture shown; what connects these to
    the tab's output."""
    with gr.Column(elem_classes="seed"):
        seed = form.widget("seed")
        with gr.Row(elem_classes="seed-buttons"):
            random_seed = gr.Button("New seed each time", size="sm", elem_id=form.element_id("random-seed"))
            reuse_seed = gr.Button("Seed of the picture shown", size="sm", elem_id=form.element_id("reuse-seed"))

    def connect_buttons(output: Output) -> None:
        update(random_seed.click, lambda: RANDOM_SEED, None, seed)
        update(reuse_seed.click, seed_of, [output.pictures, output.selected], seed)

    return connect_buttons


def _advanced(engine: Engine, form: Form, sizes: Place) -> None:
    styles.build(engine, form)
    sampling(form)
    form.widget("guidance_scale")
    with gr.Row():
        form.widget("guidance_end", min_width=200)
        form.widget("token_merging", min_width=200)
        form.widget("step_cache", min_width=200)
    sizes(engine, form)
    form.widget("count")
    form.widget("clip_skip")
    vae_box(engine, form)
    loras.build(engine, form)
    references.build(engine, form)


def sampling(form: Form) -> None:
    """Put sampler and schedule here: of the schedules those that go with the sampler."""
    with gr.Row():
        sampler = form.widget("sampler")
        schedule = form.widget("schedule")
    update(sampler.change, schedules_for, [sampler, schedule], schedule)


def vae_box(engine: Engine, form: Form) -> None:
    """Put the list of VAEs here."""
    vae = form.widget("vae", choices=["", *engine.vaes()])
    assert isinstance(vae, gr.Dropdown)
    update(vae.focus, lambda: gr.update(choices=["", *engine.vaes()]), None, vae)


def count_tokens(engine: Engine, form: Form, counters: dict[str, gr.HTML]) -> None:
    """Keep telling in `counters` how many tokens the words of each field are."""
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
    drawing = drawing_of(request) if request else None
    return drawing.seed if drawing else gr.skip()
