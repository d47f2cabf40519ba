"""Links to jobs: a page that is opened with one shows that job in its tab, on whichever device it is.

A job's identifier cannot be guessed, so that who has the link was given it. It lets look; to cancel is for its owner.
"""

import html
from collections.abc import Sequence
from typing import Any

import gradio as gr

from pipelines.engine.jobs import Engine, Job
from presets.request import Request
from tabs import markup
from tabs.tab import Tab
from tabs.updates import on_page_load

PARAMETER = "job"


def linked(engine: Engine, request: gr.Request | None, kind: type[Request]) -> list[Job]:
    """The job that the page's address names, where it is of that kind and known."""
    job = engine.job(request.query_params.get(PARAMETER, "")) if request else None
    return [job] if job is not None and isinstance(job.request, kind) else []


def link_to(job: Job) -> str:
    """HTML: the address that shows the job, relative to the page."""
    about = "Opens this job in its tab; copy its address to look at it elsewhere"
    return f'<a class="job-link" href="?{PARAMETER}={html.escape(job.id)}" title="{about}">Link</a>'


def connect(engine: Engine, all_tabs: Sequence[Tab], tabs: gr.Tabs) -> None:
    """Open the tab of the job that the page's address names, or say that there is none."""
    status = all_tabs[0].output.status
    kinds = {tab.kind for tab in all_tabs}

    def opened(request: gr.Request) -> Any:
        identifier = request.query_params.get(PARAMETER)
        if identifier is None:
            return gr.skip(), gr.skip()
        job = engine.job(identifier)
        if job is None or job.request.kind not in kinds:
            return gr.skip(), markup.error(
                f"There is no job {identifier[:40]!r}; jobs are known for a day after their end. [E-JOB-UNKNOWN]"
            )
        return gr.Tabs(selected=job.request.kind), gr.skip()

    on_page_load(opened, None, [tabs, status], queue=False, show_progress="hidden", api_visibility="private")
