"""The server starts also where it cannot reach itself in time, or would ask a proxy for itself."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
import uvicorn
from gradio.exceptions import ServerFailedToStartError
from starlette.applications import Starlette

from tabs.server import PatientServer
from tests.fake_engine import FakeEngine
from tests.served import served


def test_a_machine_too_busy_to_answer_itself_in_time_starts_nevertheless(tmp_path, monkeypatch):
    monkeypatch.setattr("gradio.networking.url_ok", lambda _: False)
    with served(FakeEngine(tmp_path), tmp_path) as address:
        assert httpx.get(f"{address}health/live").status_code == 200


@pytest.mark.parametrize("known", ["", "example.org"])
def test_a_proxy_of_the_environment_is_not_asked_for_the_program_itself(tmp_path, monkeypatch, known):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # where nothing listens
    monkeypatch.setenv("NO_PROXY", known)
    monkeypatch.setenv("no_proxy", known)
    with served(FakeEngine(tmp_path), tmp_path) as address:
        assert httpx.get(f"{address}health/live").status_code == 200
    assert os.environ["NO_PROXY"].startswith(known)


@asynccontextmanager
async def six_seconds(_: Starlette) -> AsyncIterator[None]:
    await asyncio.sleep(6)  # Gradio would wait for five
    yield


def test_a_server_may_take_long_to_begin_and_watches_no_code():
    server = PatientServer(uvicorn.Config(Starlette(lifespan=six_seconds), port=0), reloader=object(), watchfn=print)
    server.run_in_thread()
    assert server.started and server.reloader is None
    server.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_server_that_cannot_begin_says_so_at_once():
    with socket.socket() as taken, pytest.raises(ServerFailedToStartError):
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        PatientServer(uvicorn.Config(Starlette(), port=taken.getsockname()[1])).run_in_thread()
