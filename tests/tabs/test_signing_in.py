"""With accounts, every door is closed to strangers, and a job is its user's wherever he signs in."""

import json
import time
from collections.abc import Iterator

import httpx
import pytest
from gradio_client import Client
from gradio_client.exceptions import AuthenticationError
from pydantic import SecretStr

from presets.requests import TextToImage
from presets.settings import Settings
from tabs.copy_as import snippets
from tabs.guesses import FREE, KNOWN, LONGEST, Guesses
from tests.fake_engine import FakeEngine
from tests.served import served

ANN, BOB = ("ann", "open sesame"), ("bob", "other:word")
BOAT = {"kind": "text-to-image", "prompt": "a boat", "steps": 1}


@pytest.fixture(scope="module")
def closed(engine: FakeEngine, tmp_path_factory) -> Iterator[str]:
    """The address of a page that only ann and bob may use."""
    file = tmp_path_factory.mktemp("accounts") / "accounts"
    file.write_text(":".join(BOB))
    settings = Settings(home=engine.folder, auth=(SecretStr(":".join(ANN)),), auth_file=file, private_gallery="off")
    with served(engine, engine.folder, settings) as address:
        yield address


@pytest.fixture
def browser(closed: str) -> Iterator[httpx.Client]:
    """A browser in which ann has signed in."""
    with httpx.Client(base_url=closed) as browser:
        assert browser.post("login", data={"username": ANN[0], "password": ANN[1]}).status_code == 200
        yield browser


def test_strangers_see_the_sign_in_page_and_whether_the_server_lives_and_nothing_else(closed: str):
    page = httpx.get(closed)
    assert page.status_code == 200 and '"auth_required":true' in page.text and '"components":[]' in page.text
    assert "Storybook" not in page.text
    assert httpx.get(f"{closed}health").status_code == httpx.get(f"{closed}theme.css").status_code == 200
    paths = ("api/about", "api/models", "api/openapi.json", "sdapi/v1/options", "v1/models", "metrics", "config")
    gradios = ("info", "queue/data", "heartbeat/x", "file=/etc/passwd", "openapi.json", "mcp/", "static/../info")
    for path in (*paths, *(f"gradio_api/{name}" for name in gradios), "assets/../api/about", "monitoring", "nothing"):
        assert httpx.get(closed + path).status_code == 401, path


def test_strangers_and_wrong_passwords_change_nothing(closed: str, engine: FakeEngine):
    before = len(engine.submitted)
    wrong = [None, (ANN[0], BOB[1]), ("ann", ""), ("", ""), ("eve", "open sesame")]
    assert {httpx.post(f"{closed}api/jobs", json=BOAT, auth=pair).status_code for pair in wrong} == {401}
    for header in ("Bearer abcdefghijklmnopqrstuvwx", "Bearer ann", "Basic !", "Basic YW5u", "Digest x", "ann"):
        assert httpx.post(f"{closed}v1/images/generations", headers={"authorization": header}).status_code == 401
    answer = httpx.post(f"{closed}gradio_api/queue/join", json={"data": []})
    assert answer.status_code == 401 and "Sign in first" in answer.json()["detail"]
    assert len(engine.submitted) == before


def test_a_job_is_its_users_by_whatever_door_he_comes(closed: str, browser: httpx.Client):
    job = httpx.post(f"{closed}api/jobs?wait=10", json=BOAT, auth=ANN).json()["id"]
    assert browser.get(f"api/jobs/{job}").status_code == 200
    key = {"authorization": f"Bearer {':'.join(ANN)}"}
    assert httpx.get(f"{closed}api/jobs/{job}", headers=key).status_code == 200
    assert httpx.get(f"{closed}api/jobs/{job}", auth=BOB).status_code == 404
    assert job not in [listed["id"] for listed in httpx.get(f"{closed}api/jobs", auth=BOB).json()]


def test_gradios_client_signs_in_and_its_job_is_the_users(closed: str, engine: FakeEngine):
    with pytest.raises((AuthenticationError, ValueError)):
        Client(closed, verbose=False, ssl_verify=False, analytics_enabled=False)
    client = Client(closed, auth=BOB, verbose=False, ssl_verify=False, analytics_enabled=False)
    client.predict(prompt="a tower", steps=1, api_name="/text_to_image")
    (job,) = [job for job in httpx.get(f"{closed}api/jobs", auth=BOB).json() if job["request"]["prompt"] == "a tower"]
    assert engine.job(job["id"]).owner not in ("", "bob")


def test_who_signed_out_is_a_stranger(browser: httpx.Client):
    assert browser.get("api/about").status_code == 200
    browser.get("logout")
    assert browser.get("api/about").status_code == 401


def test_copy_as_names_the_user_and_asks_for_the_password():
    found = snippets(TextToImage(prompt="a boat", seed=7), "http://here/", "ann o'x")
    compile(found["Python"], "copied", "exec")
    assert 'auth=("ann o\'x", getpass())' in found["Python"] and "-u 'ann o'" in found["curl"]
    assert json.dumps("ann o'x") in found["JavaScript"]


def test_one_wrong_password_after_the_other_must_wait_at_every_door(engine: FakeEngine):
    settings = Settings(home=engine.folder, auth=(SecretStr(":".join(ANN)),), private_gallery="off")
    with served(engine, engine.folder, settings) as address:
        answers = [httpx.get(f"{address}api/models", auth=("ann", str(number))) for number in range(FREE + 1)]
        assert [answer.status_code for answer in answers] == [401] * FREE + [429]
        assert answers[-1].json()["message"] == "Too many wrong passwords; the next one is looked at in 1 s."
        assert answers[-1].headers["retry-after"] == "1"
        form = {"username": "ann", "password": "open sesame"}
        assert httpx.post(f"{address}login", data=form).status_code == 429
        assert httpx.get(f"{address}api/models", auth=("eve", "x")).status_code == 401
        tries = [httpx.post(f"{address}login", data={"username": "bob", "password": "x"}) for _ in range(FREE + 1)]
        assert [answer.status_code for answer in tries] == [400] * FREE + [429]
        assert httpx.post(f"{address}login", content=b"x" * 100_000).status_code == 413
        time.sleep(1.1)
        assert httpx.post(f"{address}login", data=form).status_code == 200
        assert httpx.get(f"{address}api/models", auth=ANN).status_code == 200


def test_guesses_wait_twice_as_long_each_time_and_are_forgotten_after_the_right_one():
    now = [0.0]
    guesses = Guesses(lambda: now[0])
    waits = []
    for _ in range(FREE + 8):
        guesses.wrong("ann")
        waits.append(guesses.wait("ann"))
        now[0] += waits[-1]
    assert waits == [0.0] * (FREE - 1) + [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, LONGEST, LONGEST, LONGEST]
    assert guesses.wait("bob") == 0
    guesses.right("ann")
    assert guesses.wait("ann") == 0


def test_only_so_many_who_guess_are_remembered():
    guesses = Guesses()
    for number in range(KNOWN + 10):
        guesses.wrong(number)
    assert len(guesses._wrong) == KNOWN
