"""Jobs over plain HTTP, against a server."""

import base64
import io
import json
import threading
from collections.abc import Iterator

import httpx
import pytest
from PIL import Image
from starlette.datastructures import Headers

from presets.errors import UserError
from presets.requests import KINDS
from tabs.http_requests import BODY_LIMIT, ForeignOrigin, check_origin
from tests.fake_engine import FakeEngine

BOAT = {"kind": "text-to-image", "prompt": "a boat", "steps": 2, "seed": 7}
ME, YOU = ({"authorization": f"Bearer {name * 24}"} for name in "my")


@pytest.fixture
def api(address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address, headers=ME, timeout=20) as client:
        yield client


@pytest.fixture
def held(engine: FakeEngine) -> Iterator[FakeEngine]:
    """Jobs do not go on meanwhile."""
    engine.gate = threading.Event()
    yield engine
    engine.gate.set()
    engine.gate = None


def png(size: tuple[int, int] = (64, 64)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, "teal").save(file, "PNG")
    return file.getvalue()


def events_of(text: str) -> list[tuple[str, str, dict]]:
    """Id, name and data of each event of a stream that was read whole."""
    parts = [dict(line.split(": ", 1) for line in block.splitlines()) for block in text.split("\n\n") if "id:" in block]
    return [(part["id"], part["event"], json.loads(part["data"])) for part in parts]


def test_a_job_is_sent_waited_for_and_its_picture_fetched(api: httpx.Client, engine: FakeEngine):
    answer = api.post("api/jobs", json={**BOAT, "count": 2}, params={"wait": 10})
    job = answer.json()
    assert (answer.status_code, job["state"], job["request"]["seed"]) == (201, "done", 7)
    assert [picture["request"]["seed"] for picture in job["pictures"]] == [7, 8]
    picture = api.get(job["pictures"][1]["url"])
    assert picture.headers["content-type"] == "image/png"
    assert picture.content == engine.submitted[-1].saved[1].path.read_bytes()
    assert api.get(answer.headers["location"]).json() == job
    assert str(engine.folder) not in answer.text


@pytest.mark.usefixtures("held")
def test_without_waiting_the_answer_comes_at_once(api: httpx.Client):
    job = api.post("api/jobs", json=BOAT).json()
    assert job["state"] in ("queued", "running") and job["pictures"] == []
    assert job["id"] in [listed["id"] for listed in api.get("api/jobs").json()]


@pytest.mark.usefixtures("held")
def test_a_job_can_be_cancelled_twice(api: httpx.Client):
    path = f"api/jobs/{api.post('api/jobs', json=BOAT).json()['id']}"
    assert api.delete(path).status_code == api.delete(path).status_code == 200
    assert events_of(api.get(f"{path}/events").text)[-1][1] == "stopped"
    assert api.get(path).json()["state"] == "cancelled"


def test_events_come_as_they_are_and_go_on_after_the_one_that_was_last(api: httpx.Client):
    path = f"api/jobs/{api.post('api/jobs', json=BOAT, params={'wait': 10}).json()['id']}/events"
    events = events_of(api.get(path).text)
    assert [name for _, name, _ in events] == ["queued", "loading", "progress", "progress", "saved", "finished"]
    assert events[4][2]["url"].endswith("/pictures/0")
    assert "path" not in events[4][2]
    rest = api.get(path, headers={"last-event-id": events[3][0]})
    assert events_of(rest.text) == events[4:]
    assert events_of(api.get(path, headers={"last-event-id": "another-3"}).text) == events


@pytest.mark.usefixtures("held")
def test_anothers_job_is_as_unknown_as_one_that_there_is_not(api: httpx.Client, address: str):
    identifier = api.post("api/jobs", json=BOAT).json()["id"]
    with httpx.Client(base_url=address, headers=YOU) as you:
        for rest in (identifier, "none", f"{identifier}/events", f"{identifier}/pictures/0"):
            answer = you.get(f"api/jobs/{rest}")
            assert (answer.status_code, answer.json()["code"]) == (404, "E-JOB-UNKNOWN")
        assert you.delete(f"api/jobs/{identifier}").status_code == 404
        assert you.post(f"api/jobs/{identifier}/up").status_code == 404
        assert you.get("api/jobs").json() == []
    assert api.get(f"api/jobs/{identifier}").json()["state"] != "cancelled"


@pytest.mark.parametrize(
    ("change", "field", "code"),
    [
        ({"steps": 0}, "steps", "E-STEPS"),
        ({"height": 65}, "height", "E-SIZE"),
        ({"colour": "red"}, "colour", "E-API-ARGS"),
        ({"kind": "text-to-music"}, "kind", "E-API-ARGS"),
        ({"kind": ["x"]}, "kind", "E-API-ARGS"),
        ({"kind": "image-to-image"}, "image", "E-IMAGE"),
        ({"kind": "image-to-image", "image": "no base64"}, "image", "E-IMAGE"),
        ({"kind": "image-to-image", "image": "AAAA"}, "image", "E-IMAGE-FORMAT"),
    ],
)
def test_what_is_wrong_is_told_by_field_and_code(api: httpx.Client, change: dict, field: str, code: str):
    answer = api.post("api/jobs", json={**BOAT, **change})
    assert answer.status_code == 422
    assert (answer.json()["field"], answer.json()["code"]) == (field, code)
    assert answer.json()["message"].endswith(".")


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b"[" * 100_000, b"\xff", b'{"kind": "text-to-image", "steps": NaN}']
)
def test_a_body_that_is_no_request_gets_a_sentence(api: httpx.Client, body: bytes):
    answer = api.post("api/jobs", content=body)
    assert (answer.status_code, answer.json()["code"][:2]) == (422, "E-")


def test_a_body_without_end_is_refused_while_it_comes(api: httpx.Client):
    answer = api.post("api/jobs", content=b" " * (BODY_LIMIT + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "E-BODY-LARGE")


def test_a_picture_is_given_as_a_file_or_within_the_request(api: httpx.Client):
    reference = api.post("api/inputs", content=png()).json()
    within = "data:image/png;base64," + base64.b64encode(png()).decode()
    for image in (reference, within):
        job = api.post("api/jobs", json={**BOAT, "kind": "image-to-image", "image": image}, params={"wait": 10}).json()
        assert (job["state"], job["request"]["image"]) == ("done", reference)
    assert api.post("api/inputs", content=b"no picture").json()["code"] == "E-IMAGE-FORMAT"


@pytest.mark.parametrize(
    ("code", "status"), [("E-BUSY", 503), ("E-QUOTA", 429), ("E-DISK", 503), ("E-MODEL-MISSING", 422)]
)
def test_a_refusal_has_its_number_and_says_when_to_try_again(
    api: httpx.Client, engine: FakeEngine, code: str, status: int
):
    engine.refusal = UserError("Not now.", code=code)
    try:
        answer = api.post("api/jobs", json=BOAT)
    finally:
        engine.refusal = None
    assert (answer.status_code, answer.json()["message"]) == (status, "Not now.")
    assert ("retry-after" in answer.headers) == (status in (429, 503))


def test_a_failed_job_says_why(api: httpx.Client, engine: FakeEngine):
    engine.failure = UserError("Too bad.", code="E-NAN")
    try:
        job = api.post("api/jobs", json=BOAT, params={"wait": 10}).json()
    finally:
        engine.failure = None
    assert (job["state"], job["error"]["code"], job["error"]["message"]) == ("failed", "E-NAN", "Too bad.")


def test_a_parameter_and_a_path_that_cannot_be_meant_get_sentences(api: httpx.Client):
    assert api.post("api/jobs", json=BOAT, params={"wait": "soon"}).json()["field"] == "wait"
    answer = api.get("api/nowhere")
    assert (answer.status_code, answer.json()["code"]) == (404, "E-API-ARGS")


def test_models_presets_and_the_server_itself_are_told_of(api: httpx.Client, engine: FakeEngine):
    assert [model["name"] for model in api.get("api/models").json()] == [model.name for model in engine.models()]
    assert {"kind", "name", "values"} <= set(api.get("api/presets").json()[0])
    about = api.get("api/about").json()
    assert set(about["kinds"]) == set(KINDS) and about["state"] in ("ready", "busy")


def test_health_and_figures_are_for_machines(address: str, engine: FakeEngine, api: httpx.Client):
    api.post("api/jobs", json=BOAT, params={"wait": 10})
    assert httpx.get(f"{address}health/live").json() == {"live": True}
    assert httpx.get(f"{address}health/ready").status_code == 200
    lines = httpx.get(f"{address}metrics").text.splitlines()
    assert f'easel_jobs_total{{state="done"}} {engine.tally().done}' in lines
    assert "# TYPE easel_jobs_waiting gauge" in lines


def test_a_stopped_engine_is_live_and_not_ready(tmp_path):
    from starlette.applications import Starlette
    from starlette.testclient import TestClient

    from tabs.http_status import routes

    engine = FakeEngine(tmp_path)
    engine.close()
    client = TestClient(Starlette(routes=routes(engine)))
    assert (client.get("/health/live").status_code, client.get("/health").status_code) == (200, 503)


def test_the_description_names_every_route_and_kind(api: httpx.Client):
    schema = api.get("api/openapi.json").json()
    assert {"/jobs", "/jobs/{identifier}", "/jobs/{identifier}/events", "/models", "/about"} <= set(schema["paths"])
    body = schema["paths"]["/jobs"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(body["discriminator"]["mapping"]) == set(KINDS)
    parts = schema["components"]["schemas"]
    for reference in body["discriminator"]["mapping"].values():
        assert parts[reference.rsplit("/", 1)[-1]]["properties"]["prompt" if "prompt" in parts else "kind"]
    assert all(route.get("summary") for path in schema["paths"].values() for route in path.values())


@pytest.mark.parametrize(
    ("headers", "is_local"),
    [
        ({"host": "127.0.0.1:7860"}, True),
        ({"host": "localhost:7860", "origin": "http://localhost:7860"}, True),
        ({"host": "[::1]:7860", "origin": "http://[::1]:7860"}, True),
        ({"host": "easel.example", "origin": "https://easel.example"}, False),
        ({"host": "127.0.0.1:7860", "origin": "https://easel.example"}, True),
        ({"host": "easel.example"}, True),
    ],
)
def test_the_own_page_and_programs_may_change_things(headers: dict, is_local: bool):
    check_origin(Headers(headers), ["easel.example"], is_local=is_local)


@pytest.mark.parametrize(
    ("headers", "is_local"),
    [
        ({"host": "127.0.0.1:7860", "origin": "http://evil.example"}, True),
        ({"host": "evil.example:7860", "origin": "http://evil.example:7860"}, True),
        ({"host": "here.example", "origin": "https://evil.example"}, False),
        ({"host": "here.example", "origin": "null"}, False),
        ({"host": "here.example", "origin": "http://[x"}, False),
    ],
)
def test_a_strangers_page_may_not(headers: dict, is_local: bool):
    with pytest.raises(ForeignOrigin):
        check_origin(Headers(headers), [], is_local=is_local)


def test_a_strangers_page_is_refused_with_a_sentence_before_anything_is_done(api: httpx.Client, engine: FakeEngine):
    before = len(engine.submitted)
    answer = api.post("api/jobs", json=BOAT, headers={"origin": "https://evil.example"})
    assert (answer.status_code, answer.json()["code"]) == (403, "E-ORIGIN")
    assert len(engine.submitted) == before


@pytest.mark.parametrize("path", ["api/jobs", "api/models", "api/about", "v1/models"])
def test_other_sites_pages_read_nothing(api: httpx.Client, path: str):
    assert api.get(path).status_code == 200
    for headers in ({"origin": "https://elsewhere.example"}, {"host": "elsewhere.example"}):
        assert api.get(path, headers=headers).status_code == 403
