"""The tab of the queue: the visitor's own jobs with their places, and what can be done about them; others are only
counted."""

import html
from collections.abc import Mapping, Sequence
from urllib.parse import quote

import gradio as gr
from gradio.blocks import Block

from pipelines.engine.jobs import PASS_SECONDS, PASSES, Engine, Failed, Job, Progress, Queued
from presets.gallery_files import identifier_of
from tabs import markup
from tabs.badges import seconds_in_words
from tabs.job_links import link_to
from tabs.output import Updates
from tabs.owners import owner_of_page
from tabs.updates import update

TITLE = "Queue"
REFRESH_SECONDS = 1.0
SHOWN = 30
"""Jobs in the table."""
CAPTION_SHOWN = 80

_RULE = (
    "Users take turns, each with one job. A job whose checkpoint is loaded may go before others: before any one job "
    f"at most {PASSES} times, and for at most {PASS_SECONDS:.0f} seconds."
)
_CLICK = """element.addEventListener('click', (event) => {
    const button = event.target.closest('button[data-do]');
    if (button) trigger('select', { index: 0, value: `${button.dataset.do} ${button.dataset.job}` });
});"""
"""A button of a row says what is to be done with which job."""


def build(engine: Engine, tabs: gr.Tabs) -> None:
    """The tab, kept up to date while it is the one that is open."""
    timer = gr.Timer(REFRESH_SECONDS, active=False)
    line = gr.HTML(elem_id="queue-line")
    table = gr.HTML(elem_id="queue-jobs", js_on_load=_CLICK)
    outputs: list[Block] = [line, table]

    def shown(request: gr.Request) -> Updates:
        owner = owner_of_page(request)
        places = engine.places(owner)
        return {line: line_of(engine, len(places)), table: table_of(engine.jobs_of(owner)[:SHOWN], places)}

    def act(request: gr.Request, event: gr.SelectData) -> Updates:
        action, _, identifier = str(event.value).partition(" ")
        job = engine.job(identifier)
        if job is not None and job.owner == owner_of_page(request):
            do(engine, action, job)
        return shown(request)

    def opened(request: gr.Request, event: gr.SelectData) -> Updates:
        is_open = event.value == TITLE
        return {timer: gr.Timer(active=is_open), **(shown(request) if is_open else {})}

    update(table.select, act, None, outputs)
    update(timer.tick, shown, None, outputs)
    update(tabs.select, opened, None, [timer, *outputs])


def do(engine: Engine, action: str, job: Job) -> None:
    """What a row's button says: "cancel", "up" or "keep"; anything else does nothing."""
    if action == "cancel":
        job.cancel()
    elif action == "up":
        engine.move_up(job)
    elif action == "keep":
        engine.keep_job(job)


def line_of(engine: Engine, own: int) -> str:
    """How many wait, and by which rule."""
    others = max(0, engine.status().waiting - own)
    count = f"{own} of your jobs {'waits' if own == 1 else 'wait'}, {others} of others'."
    return markup.notice(count, [_RULE])


def table_of(jobs: Sequence[Job], places: Mapping[str, Queued]) -> str:
    """The jobs, those that wait in the order in which they will run."""
    if not jobs:
        return markup.empty_stage("Your jobs of the last day stand here")
    waiting = sorted((job for job in jobs if job.id in places), key=lambda job: places[job.id].position)
    rows = [_row(job, None) for job in jobs if not job.done and job.id not in places]
    rows += [_row(job, places[job.id], is_first=index == 0) for index, job in enumerate(waiting)]
    rows += [_row(job, None) for job in jobs if job.done]
    return f'<table class="jobs"><tbody>{"".join(rows)}</tbody></table>'


def _row(job: Job, place: Queued | None, *, is_first: bool = True) -> str:
    caption = job.request.caption
    shown = caption if len(caption) <= CAPTION_SHOWN else caption[: CAPTION_SHOWN - 1] + "…"
    buttons = [] if job.done else [_button("cancel", "Cancel", job)]
    if place is not None:
        buttons += [] if is_first else [_button("up", "Move up", job)]
        buttons += [] if job.kept else [_button("keep", "Keep", job)]
    buttons.append(link_to(job))
    return (
        f'<tr class="{job.state}"><td class="seen">{_seen(job)}</td>'
        f'<td class="state"><span class="badge {job.state}">{job.state}</span></td>'
        f'<th scope="row">{markup.escaped(shown)}<small>{html.escape(job.request.title)}</small></th>'
        f"<td>{markup.escaped(where(job, place))}</td><td>{''.join(buttons)}</td></tr>"
    )


def _seen(job: Job) -> str:
    """What there is to see of it: its last picture, small, or the one that is being drawn."""
    if job.preview:
        source = markup.jpeg_source(job.preview)
    elif job.saved:
        source = f"api/pictures/{quote(identifier_of(job.saved[-1].path))}/thumbnail"
    else:
        return ""
    return f'<img src="{source}" alt="">'


def _button(action: str, text: str, job: Job) -> str:
    return f'<button type="button" data-do="{action}" data-job="{job.id}">{text}</button>'


def where(job: Job, place: Queued | None) -> str:
    """The job's place, how far it is, or what became of it."""
    if place is not None:
        soon = "" if place.seconds is None else f", in about {seconds_in_words(place.seconds)}"
        return f"place {place.position}{soon}"
    last = job.last_event
    if isinstance(last, Failed):
        return f"{last.message} [{last.code}]"
    if isinstance(last, Progress):
        return f"picture {last.picture} of {last.pictures}, step {last.step} of {last.steps}"
    made = len(job.saved)
    return f"{made} of {job.request.picture_count} pictures" if job.request.picture_count > 1 else ""
