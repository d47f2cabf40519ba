"""The server starts also where it cannot reach itself in time, or would ask a proxy for itself."""

import os

import httpx
import pytest

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
