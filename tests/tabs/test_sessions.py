import asyncio
import threading
from pathlib import Path

import gradio as gr
import httpx
import pytest
from gradio.queueing import Queue
from gradio.state_holder import SessionState

from presets.settings import Settings
from tabs.page import build_page
from tabs.serving import serve
from tabs.sessions import Sessions, guard
from tests.fake_engine import FakeEngine


@pytest.fixture
def queue() -> Queue:
    with gr.Blocks() as page:
        pass
    page.queue()
    return page._queue


def join(queue: Queue, sessions: Sessions, name: str, *, waits: bool) -> None:
    """As Gradio does for an event of a session; one that does not wait has ended."""
    sessions[name] = asyncio.Queue()
    queue.pending_event_ids_session[name] = {f"event of {name}"}
    if waits:
        queue.event_ids_to_events[f"event of {name}"] = object()  # pyright: ignore[reportArgumentType]


def test_sessions_that_wait_are_never_forgotten(queue: Queue):
    sessions = Sessions(queue, limit=10)
    for number in range(100):
        join(queue, sessions, str(number), waits=number % 20 == 0)
    assert {"0", "20", "40", "60", "80"} <= set(sessions)
    assert len(sessions) <= 10
    assert set(queue.pending_event_ids_session) == set(sessions)


def test_more_than_the_limit_may_wait(queue: Queue):
    sessions = Sessions(queue, limit=3)
    for number in range(10):
        join(queue, sessions, str(number), waits=True)
    assert len(sessions) == 10


def test_a_message_for_a_session_that_has_left_is_dropped_and_harms_nobody(queue: Queue):
    sessions = Sessions(queue)
    sessions["gone"].put_nowait("x")
    assert "gone" not in sessions and len(sessions) == 0


def test_a_new_session_describes_no_component_of_the_page_again(tmp_path: Path):
    page = build_page(FakeEngine(tmp_path))
    page.queue()
    described = SessionState(page)
    assert any(described.config_values.values())
    guard(page)
    assert not any(SessionState(page).config_values.values())


def test_all_who_wait_get_their_pictures_though_the_list_is_full(tmp_path: Path):
    engine = FakeEngine(tmp_path, gate=threading.Event())
    page = build_page(engine)
    address = serve(page, Settings(home=tmp_path), pictures=tmp_path)
    page._queue.pending_messages_per_session.max_size = 3
    call = f"{address}gradio_api/call"
    try:
        sent = [httpx.post(f"{call}/v2/text_to_image", json={"prompt": "a boat", "steps": 1}) for _ in range(8)]
        engine.gate.set()
        told = [httpx.get(f"{call}/text_to_image/{answer.json()['event_id']}").text for answer in sent]
    finally:
        page.close(verbose=False)
    assert ["event: complete" in text for text in told] == [True] * 8


def test_a_session_lists_its_own_components_alone_and_finds_all(tmp_path: Path):
    page = build_page(FakeEngine(tmp_path))
    page.queue()
    guard(page)
    first, second = SessionState(page), SessionState(page)
    number, block = next(iter(page.blocks.items()))
    first.blocks_config.blocks[number] = "own"  # pyright: ignore[reportArgumentType]
    assert (first.blocks_config.blocks[number], second.blocks_config.blocks[number]) == ("own", block)
    assert number in second.blocks_config.blocks and second.blocks_config.blocks.get(number) is block
    assert -1 not in second.blocks_config.blocks and second.blocks_config.blocks.get(-1) is None
    assert (len(first.blocks_config.blocks), len(second.blocks_config.blocks)) == (1, 0)
