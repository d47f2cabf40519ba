"""Links that show a job wherever they are opened."""

import asyncio
import threading
from pathlib import Path
from types import SimpleNamespace

import gradio as gr

from pipelines.engine.jobs import Job
from presets.requests import ImageToImage, TextToImage
from tabs import job_links
from tabs.form import Form
from tabs.output import Output
from tabs.run import connect
from tabs.tab import Tab
from tests.fake_engine import FakeEngine


def asking_for(identifier: str) -> SimpleNamespace:
    """A request for the page by somebody without a cookie."""
    return SimpleNamespace(query_params={"job": identifier}, cookies={}, headers={}, request=None, username=None)


def job_of(engine: FakeEngine, owner: str = "you") -> Job:
    return engine.submit(TextToImage(prompt="a boat", steps=1), owner=owner)


def test_the_job_of_a_link_is_found_by_its_kind_whoever_it_belongs_to(tmp_path: Path):
    engine = FakeEngine(tmp_path)
    job = job_of(engine)
    assert job_links.linked(engine, asking_for(job.id), TextToImage) == [job]
    assert job_links.linked(engine, asking_for(job.id), ImageToImage) == []
    assert job_links.linked(engine, asking_for("<script>"), TextToImage) == []
    assert f"?job={job.id}" in job_links.link_to(job)


def test_a_link_opens_the_jobs_tab_and_says_where_there_is_no_such_job(tmp_path: Path):
    engine = FakeEngine(tmp_path)
    job = job_of(engine)
    with gr.Blocks() as page:
        form = Form(TextToImage)
        with gr.Tabs() as tabs, gr.Tab("Text to image"):
            form.widget("prompt")
        tab = Tab(form, Output(form))
        job_links.connect(engine, [tab], tabs)
    (opened,) = [event.fn for event in page.fns.values() if event.name == "opened"]
    assert opened(asking_for(job.id))[0].selected == "text-to-image"
    assert "There is no job &#x27;&lt;b&gt;" in opened(asking_for("<b>"))[1]
    nothing = SimpleNamespace(query_params={})
    assert opened(nothing) == (gr.skip(), gr.skip())


def test_who_was_given_a_link_sees_the_pictures_and_cannot_cancel(tmp_path: Path):
    engine = FakeEngine(tmp_path, gate=threading.Event())
    job = job_of(engine)
    with gr.Blocks() as page:
        form = Form(TextToImage)
        form.widget("prompt")
        output, generate, cancel = Output(form), gr.Button(), gr.Button()
        connect(engine, form, output, generate, cancel)
    resume = next(event.fn for event in page.fns.values() if event.name == "resume")
    engine.gate.set()

    async def updates() -> list[dict]:
        return [update async for update in resume(asking_for(job.id))]

    seen = asyncio.run(updates())
    assert seen[0][output.job] == "" and seen[0][cancel]["interactive"] is False
    assert any(output.pictures in update for update in seen)
