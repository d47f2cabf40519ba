"""What keeps the program from beginning, told on a page that is opened meanwhile."""

import asyncio
from collections.abc import AsyncGenerator

import gradio as gr

from pipelines.engine.jobs import Engine
from tabs import markup

STATUS_SECONDS = 0.5


def starting_line(engine: Engine) -> str:
    """What keeps the engine from beginning at once; empty if nothing does."""
    status = engine.status()
    if status.state == "starting":
        return status.detail or "Loading libraries…"
    if status.state == "restarting":
        return status.detail or "The worker is being restarted…"
    return ""


def stopped_line(engine: Engine) -> str:
    """Why nothing can be made any more, as HTML; empty while the engine runs."""
    status = engine.status()
    return markup.error(f"The engine is stopped: {status.detail}") if status.state == "stopped" else ""


def watch_start(engine: Engine, page: gr.Blocks, place: gr.HTML) -> None:
    """Say in `place` what a freshly opened page waits for, until the engine is ready, or why it never will be."""

    async def watch() -> AsyncGenerator[str, None]:
        while line := starting_line(engine):
            yield markup.notice(f"{line} You can write your prompt meanwhile; Generate will run as soon as it is done.")
            await asyncio.sleep(STATUS_SECONDS)
        yield stopped_line(engine)

    page.load(watch, None, place, concurrency_limit=None, show_progress="hidden", api_visibility="private")
