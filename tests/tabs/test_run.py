import asyncio
import threading
from collections.abc import AsyncGenerator
from pathlib import Path

import gradio as gr
import pytest

from pipelines.engine.jobs import EngineStatus, Finished, Job, Loading, Progress, Queued, Stopped
from presets.errors import UserError
from presets.requests import ImageToImage, TextToImage
from tabs.form import Form
from tabs.job_lines import ending_line, progress_line, waiting_line
from tabs.output import Output
from tabs.run import connect
from tabs.starting import watch_start
from tabs.submitting import submit, unseen
from tests.fake_engine import FakeEngine


class EngineThatSays(FakeEngine):
    """An engine whose status is given."""

    def __init__(self, folder: Path, **status):
        super().__init__(folder)
        self.said = EngineStatus(**status)

    def status(self) -> EngineStatus:
        return self.said


class SlowEngine(FakeEngine):
    """An engine that takes a request only once `disk` is set, as if it read a slow one."""

    def __init__(self, folder: Path):
        super().__init__(folder, gate=threading.Event())
        self.disk = threading.Event()

    def submit(self, request: TextToImage, *, owner: str = "", kept: bool = True) -> Job:
        assert self.disk.wait(5)
        return super().submit(request, owner=owner, kept=kept)


class Page:
    """A form, an output and the two buttons over `engine`, and the handler behind Generate."""

    def __init__(self, engine: FakeEngine):
        with gr.Blocks() as blocks:
            self.form = Form(TextToImage)
            self.form.widget("prompt")
            self.form.widget("steps")
            self.form.widget("count")
            self.output = Output(self.form)
            connect(engine, self.form, self.output, gr.Button("Generate"), gr.Button("Cancel"))
        handlers = {event.name: event.fn for event in blocks.fns.values()}
        self.generate, self.settle, self.resume = (handlers[name] for name in ("run", "settle", "resume"))

    def run(self, *values) -> list[dict]:
        return collected(self.generate(None, *values, ()))

    def last(self, updates: list[dict], component: gr.blocks.Block):
        return [update[component] for update in updates if component in update][-1]


def collected(updates: AsyncGenerator[dict, None]) -> list[dict]:
    async def collect() -> list[dict]:
        return [update async for update in updates]

    return asyncio.run(collect())


def test_a_run_shows_progress_and_then_the_pictures_newest_first(tmp_path: Path):
    page = Page(FakeEngine(tmp_path, step_seconds=0.06))
    updates = page.run("a boat", 3, 2)
    lines = [update[page.output.status] for update in updates if page.output.status in update]
    assert any("Picture 2 of 2 · step 2 of 3" in line for line in lines)
    pictures = page.last(updates, page.output.pictures)
    assert [saved.index for saved in pictures] == [1, 0]
    assert "2 pictures in 0.5 s" in lines[-1]


def test_the_selected_picture_is_shown_with_its_seed_and_settings(tmp_path: Path):
    page = Page(FakeEngine(tmp_path))
    updates = page.run("<b>a boat</b>", 1, 1)
    saved = page.last(updates, page.output.pictures)[0]
    details = page.last(updates, page.output.details)
    assert str(saved.request.seed) in details
    assert "&lt;b&gt;a boat" in details
    assert saved.path.name in page.last(updates, page.output.stage)


def test_after_a_job_the_stage_shows_the_picture_that_the_buttons_act_on(tmp_path: Path):
    page = Page(FakeEngine(tmp_path))
    assert "empty" in page.settle((), 0)[page.output.stage]
    pictures = page.last(page.run("a boat", 1, 2), page.output.pictures)
    assert pictures[1].path.name in page.settle(pictures, 1)[page.output.stage]


def test_a_wrong_field_is_named_and_nothing_is_queued(tmp_path: Path):
    engine = FakeEngine(tmp_path)
    page = Page(engine)
    assert "E-STEPS" in page.last(page.run("a boat", 0, 1), page.output.status)
    assert engine.submitted == []


@pytest.mark.parametrize("trouble", ["refusal", "failure"])
def test_a_failure_is_a_sentence_and_never_html(tmp_path: Path, trouble: str):
    engine = FakeEngine(tmp_path, **{trouble: UserError("No checkpoint is called '<img src=x>'.", code="E-SOME")})
    page = Page(engine)
    line = page.last(page.run("a boat", 5, 1), page.output.status)
    assert "&lt;img src=x&gt;" in line
    assert "[E-SOME]" in line


def test_the_next_run_works_after_a_failure(tmp_path: Path):
    engine = FakeEngine(tmp_path, failure=UserError("Too bad."))
    page = Page(engine)
    page.run("a boat", 5, 1)
    engine.failure = None
    assert len(page.last(page.run("a boat", 5, 1), page.output.pictures)) == 1


def leave_after_the_first_update(page: Page) -> None:
    async def leave() -> None:
        updates = page.generate(None, "a boat", 5, 1, ())
        await anext(updates)
        await updates.aclose()

    asyncio.run(leave())


def test_the_job_of_a_closed_page_goes_on_and_the_next_page_shows_it(tmp_path: Path):
    engine = FakeEngine(tmp_path, gate=threading.Event())
    leave_after_the_first_update(Page(engine))
    engine.gate.set()
    page = Page(engine)
    updates = collected(page.resume(None))
    assert len(page.last(updates, page.output.pictures)) == 1
    assert "1 picture in" in page.last(updates, page.output.status)


def test_what_was_shown_to_its_end_is_not_shown_to_the_next_page(tmp_path: Path):
    page = Page(FakeEngine(tmp_path))
    page.run("a boat", 1, 1)
    assert collected(page.resume(None)) == [{page.output.job: gr.skip()}]


def test_a_tab_takes_up_jobs_of_its_own_kind_and_owner_only(tmp_path: Path):
    engine = FakeEngine(tmp_path)
    own, _ = (engine.submit(TextToImage(prompt="", steps=1), owner=owner) for owner in ("me", "you"))
    assert unseen(engine, "me", TextToImage) == [own]
    assert unseen(engine, "me", ImageToImage) == []


def test_a_slow_disk_holds_up_nobody_else(tmp_path: Path):
    engine = SlowEngine(tmp_path)

    async def set_disk_meanwhile() -> Job:
        asyncio.get_running_loop().call_later(0.01, engine.disk.set)
        return await submit(engine, TextToImage(prompt=""), owner="", kept=False)

    job = asyncio.run(set_disk_meanwhile())
    job.cancel()
    assert engine.submitted == [job]


def test_who_leaves_before_the_request_was_taken_leaves_no_job_behind(tmp_path: Path):
    engine = SlowEngine(tmp_path)

    async def leave_early() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(submit(engine, TextToImage(prompt=""), owner="", kept=False), 0.05)
        engine.disk.set()
        while not (engine.submitted and engine.submitted[0].done):
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(leave_early(), 5))
    assert isinstance(list(engine.submitted[0].events())[-1], Stopped)


def test_waiting_says_what_for(tmp_path: Path):
    assert waiting_line(FakeEngine(tmp_path), Queued(position=3)) == "Waiting: 2 before this one"
    soon = Queued(position=3, seconds=41.6)
    assert waiting_line(FakeEngine(tmp_path), soon) == "Waiting: 2 before this one, about 42 s"
    assert waiting_line(EngineThatSays(tmp_path, state="starting"), Queued(position=1)) == "Loading libraries…"
    assert waiting_line(FakeEngine(tmp_path), Queued(position=1, detail="a download")) == "a download"
    loading = EngineThatSays(tmp_path, state="ready", loading=Loading(what="night: unet"))
    assert waiting_line(loading, Queued(position=1)) == "Waiting while night: unet is loaded…"


@pytest.mark.parametrize(
    ("state", "waiting", "position", "line"),
    [
        ("busy", 1, 1, "Waiting: 1 before this one"),
        ("busy", 3, 2, "Waiting: 2 before this one"),
        ("busy", 0, 1, "Waiting for the worker…"),  # it is this job that runs
        ("ready", 1, 1, "Waiting for the worker…"),
    ],
)
def test_the_job_that_runs_is_one_of_those_waited_for(tmp_path: Path, state, waiting, position, line):
    engine = EngineThatSays(tmp_path, state=state, waiting=waiting)
    assert waiting_line(engine, Queued(position=position)) == line


def test_a_freshly_opened_page_says_why_nothing_can_be_made(tmp_path: Path):
    engine = EngineThatSays(tmp_path, state="stopped", detail="no <CUDA> device was found")
    with gr.Blocks() as page:
        watch_start(engine, page, gr.HTML())
    (watch,) = [event.fn for event in page.fns.values()]

    async def lines() -> list[str]:
        return [line async for line in watch()]

    assert "The engine is stopped: no &lt;CUDA&gt; device was found" in asyncio.run(lines())[-1]


def test_progress_is_told_in_pictures_steps_and_seconds():
    event = Progress(picture=1, pictures=2, step=7, steps=20, seconds=1.23, remaining=2.2)
    assert progress_line(event) == "Picture 1 of 2 · step 7 of 20 · 1.2 s, about 2 s left"
    alone = event.model_copy(update={"pictures": 1, "remaining": 0.1})
    assert progress_line(alone) == "Step 7 of 20 · 1.2 s"


def test_a_cancelled_job_says_what_was_kept():
    job = Job(TextToImage(prompt=""), lambda _: None)
    assert ending_line(job, Stopped()) == "Cancelled."
    assert ending_line(job, Finished(timings={"total": 2.04})) == "0 pictures in 2.0 s"
