"""The limit of work per user and hour, at every door of a server."""

import httpx
import pytest
from gradio_client.exceptions import AppError

from pipelines.engine.local import LocalEngine
from presets.settings import Settings
from tests.served import connected, served

LARGE = {"prompt": "a boat", "width": 512, "height": 512, "steps": 150}
"""39 megapixel-steps."""
REFUSED = "takes 39.3 megapixel-steps, and 30 are left of the 30 that you may have drawn in an hour"


@pytest.fixture(scope="module")
def limited(tmp_path_factory):
    """The address of a server that lets each user draw 30 megapixel-steps in an hour, and draws nothing."""
    settings = Settings(home=tmp_path_factory.mktemp("limited"), work_limit=30)
    with served(LocalEngine(settings), settings.pictures, settings) as address:
        yield address


def test_plain_http_answers_429_with_the_sentence(limited: str):
    answer = httpx.post(f"{limited}api/jobs", json={"kind": "text-to-image", **LARGE})
    assert (answer.status_code, answer.json()["code"]) == (429, "E-QUOTA")
    assert REFUSED in answer.json()["message"]


def test_gradios_client_raises_the_sentence(limited: str, tmp_path):
    with pytest.raises(AppError, match=REFUSED):
        connected(limited, tmp_path).predict(**LARGE, api_name="/text_to_image")


def test_other_programs_clients_are_told_it_as_well(limited: str):
    answer = httpx.post(f"{limited}sdapi/v1/txt2img", json=LARGE)
    assert answer.status_code == 429 and REFUSED in answer.json()["errors"]


def test_smaller_jobs_are_taken_until_the_limit_is_reached_and_come_back_when_cancelled(limited: str):
    small = {"kind": "text-to-image", **LARGE, "steps": 50}
    with httpx.Client(base_url=limited, headers={"authorization": "Bearer abcdefghijklmnopqrst"}) as ann:
        first, second = (ann.post("api/jobs", json=small) for _ in range(2))
        assert [answer.status_code for answer in (first, second, ann.post("api/jobs", json=small))] == [201, 201, 429]
        assert ann.delete(f"api/jobs/{first.json()['id']}").json()["state"] == "cancelled"
        assert ann.post("api/jobs", json=small).status_code == 201
