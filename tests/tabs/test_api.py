import threading
import time
from pathlib import Path

import httpx
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError, ValidationError

from pipelines.engine.jobs import Stopped
from presets.errors import UserError
from presets.requests import TextToImage
from tabs.api import ENDPOINTS
from tests.fake_engine import FakeEngine
from tests.waiting import wait_until

ENDPOINT = "/text_to_image"
HUGE = "a " * 100_000


def test_the_page_has_public_endpoints_with_the_request_as_parameters_and_for_the_models(address: str):
    endpoints = httpx.get(f"{address}gradio_api/info").json()["named_endpoints"]
    assert list(endpoints) == [
        *(f"/{name}" for name in ENDPOINTS),
        "/models",
        "/presets",
        "/preprocessors",
        "/picture_info",
    ]
    assert endpoints["/models"]["parameters"] == []
    parameters = endpoints[ENDPOINT]["parameters"]
    fields = [name for name in TextToImage.model_fields if name != "kind"]
    assert [parameter["parameter_name"] for parameter in parameters] == fields
    assert [parameter["parameter_name"] for parameter in parameters if not parameter["parameter_has_default"]] == [
        "prompt"
    ]


def test_every_parameter_is_typed_and_documented(client: Client):
    text = client.view_api(return_format="str")
    assert "negative_prompt: str" in text
    assert "width: int | None (not required" in text
    assert "guidance_scale: float" in text
    assert "schedule: Literal['automatic', 'normal'" in text
    assert "More take longer and add detail" in text
    assert "-> (pictures, record)" in text


def test_the_pictures_arrive_unchanged_with_the_request_of_each(client: Client, pictures: Path):
    files, record = client.predict(prompt="a boat", steps=2, count=2, seed=7, api_name=ENDPOINT)
    saved = [pictures / picture["file"] for picture in record["pictures"]]
    assert [Path(file).read_bytes() for file in files] == [file.read_bytes() for file in saved]
    assert [picture["request"]["seed"] for picture in record["pictures"]] == [7, 8]
    assert record["state"] == "finished"
    assert record["timings"]["total"] > 0


def test_a_random_seed_is_returned(client: Client):
    _, record = client.predict(prompt="", steps=1, api_name=ENDPOINT)
    assert record["pictures"][0]["request"]["seed"] >= 0


def test_the_models_are_listed(client: Client, engine: FakeEngine):
    assert client.predict(api_name="/models") == [model.model_dump(mode="json") for model in engine.models()]


def test_the_presets_are_listed_for_programs_with_values_to_send(client: Client):
    listed = client.predict(api_name="/presets")
    house = next(preset for preset in listed if preset["name"] == "01-house" and preset["kind"] == "text-to-image")
    assert house["title"] == "House by the sea"
    assert TextToImage(**house["values"]).prompt == "a red house by the sea at sunset"


def test_progress_streams(client: Client):
    job = client.submit(prompt="a boat", steps=3, api_name=ENDPOINT)
    states = [(record["state"], record.get("step")) for _, record in job]
    assert states == [
        ("queued", None),
        ("loading", None),
        ("progress", 1),
        ("progress", 2),
        ("progress", 3),
        ("saved", None),
        ("finished", None),
    ]


def test_cancelling_the_clients_job_cancels_the_engines(client: Client, engine: FakeEngine):
    engine.gate = threading.Event()
    try:
        job = client.submit(prompt="a boat", steps=50, api_name=ENDPOINT)
        next(iter(job))
        job.cancel()
        deadline = time.monotonic() + 5
        while not engine.submitted[-1].done and time.monotonic() < deadline:
            time.sleep(0.02)
        assert isinstance(list(engine.submitted[-1].events())[-1], Stopped)
    finally:
        engine.gate = None
    assert client.predict(prompt="a boat", steps=1, api_name=ENDPOINT)[1]["state"] == "finished"


def test_a_caller_that_goes_away_ends_its_job_though_nothing_more_is_told(address: str, engine: FakeEngine):
    engine.gate = threading.Event()
    try:
        call = httpx.post(f"{address}gradio_api/call/v2{ENDPOINT}", json={"prompt": "a boat"})
        with httpx.stream("GET", f"{address}gradio_api/call{ENDPOINT}/{call.json()['event_id']}") as answer:
            assert any("generating" in line for line in answer.iter_lines())
        wait_until(lambda: engine.submitted[-1].done, 5)
        assert isinstance(engine.submitted[-1].last_event, Stopped)
    finally:
        engine.gate = None


def test_a_job_is_watched_only_once_its_answer_is_read(address: str, engine: FakeEngine):
    engine.gate = threading.Event()
    try:
        call = httpx.post(f"{address}gradio_api/call/v2{ENDPOINT}", json={"prompt": "a boat"})
        wait_until(lambda: engine.submitted[-1].state == "running", 5)
        assert not engine.submitted[-1].is_watched
        with httpx.stream("GET", f"{address}gradio_api/call{ENDPOINT}/{call.json()['event_id']}") as answer:
            assert any("generating" in line for line in answer.iter_lines())
            assert engine.submitted[-1].is_watched
    finally:
        engine.gate = None


def test_control_characters_are_removed_with_a_warning(client: Client):
    _, record = client.predict(prompt="a\x00 boat\u202e", steps=1, api_name=ENDPOINT)
    picture = record["pictures"][0]
    assert picture["request"]["prompt"] == "a boat\u202e"
    assert picture["warnings"] == ["Control characters were removed from the prompt."]


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("prompt", HUGE, "E-PROMPT-LONG"),
        ("prompt", 5, "E-API-ARGS"),
        ("height", 65, "E-SIZE"),
        ("height", 0, "E-SIZE"),
        ("width", -8, "E-SIZE"),
        ("width", 8, "E-SIZE"),
        ("width", 10**6, "E-SIZE"),
        ("width", True, "E-SIZE"),
        ("width", "512", "E-SIZE"),
        ("steps", 0, "E-STEPS"),
        ("steps", -1, "E-STEPS"),
        ("steps", 1001, "E-STEPS"),
        ("steps", 2.5, "E-STEPS"),
        ("guidance_scale", -5, "E-CFG"),
        ("guidance_scale", 1e9, "E-CFG"),
        ("seed", 2**64, "E-SEED"),
        ("seed", 1.5, "E-SEED"),
        ("count", 0, "E-BATCH"),
        ("count", 1000, "E-BATCH"),
        ("sampler", "Eula", "E-SCHEDULER"),
        ("loras", [{"name": "a", "strength": 99}], "E-WEIGHT"),
        ("loras", "a", "E-API-ARGS"),
    ],
)
def test_a_wrong_value_is_refused_with_its_name_and_code(client: Client, engine: FakeEngine, field, value, code):
    before = len(engine.submitted)
    with pytest.raises(ValidationError, match=rf"- {field}: .*\[{code}\]"):
        client.predict(**{"prompt": "a boat", field: value}, api_name=ENDPOINT)
    assert len(engine.submitted) == before


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ('{"prompt": "a \\ud800"}', "prompt", "E-TEXT-ENCODING"),
        ('{"prompt": "a", "height": NaN}', "height", "E-SIZE"),
        ('{"prompt": "a", "guidance_scale": NaN}', "guidance_scale", "E-CFG"),
        ('{"prompt": "a", "guidance_scale": Infinity}', "guidance_scale", "E-CFG"),
        ('{"prompt": "a", "seed": NaN}', "seed", "E-SEED"),
        ('{"prompt": "a", "strength": NaN}', "strength", "E-API-ARGS"),
        ('{"steps": 20}', "prompt", "E-API-ARGS"),
    ],
)
def test_what_the_client_cannot_send_is_refused_too(address: str, body: str, field: str, code: str):
    answer = httpx.post(
        f"{address}gradio_api/call/v2{ENDPOINT}", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 422
    complaint = next(part for part in answer.json()["detail"] if not part["is_valid"])
    assert complaint["parameter_name"] == field
    assert f"[{code}]" in complaint["message"]


@pytest.mark.parametrize("way", ["run", "api"])
def test_no_call_goes_round_the_queue(address: str, engine: FakeEngine, way: str):
    before = len(engine.submitted)
    unknown = httpx.post(f"{address}gradio_api/{way}/nothing", json={"data": []})
    assert (unknown.status_code, "There is no endpoint" in unknown.json()["detail"]) == (404, True)
    known = [field for field in TextToImage.model_fields if field != "kind"]
    direct = httpx.post(f"{address}gradio_api/{way}{ENDPOINT}", json={"data": ["a boat", *[None] * (len(known) - 1)]})
    assert (direct.status_code, len(engine.submitted)) == (404, before)


@pytest.mark.parametrize("seed", ["7", 7.0, 2**53 - 1])
def test_a_seed_may_come_as_digits(client: Client, seed):
    _, record = client.predict(prompt="a boat", steps=1, seed=seed, api_name=ENDPOINT)
    assert record["pictures"][0]["request"]["seed"] == int(seed)


@pytest.mark.parametrize("trouble", ["refusal", "failure"])
def test_a_failed_job_raises_its_sentence(client: Client, engine: FakeEngine, trouble: str):
    setattr(engine, trouble, UserError("No checkpoint is called 'x'.", code="E-MODEL-MISSING"))
    try:
        with pytest.raises(AppError, match=r"is called 'x'\. \[E-MODEL-MISSING\]"):
            client.predict(prompt="a boat", checkpoint="x", api_name=ENDPOINT)
    finally:
        setattr(engine, trouble, None)


def test_a_script_in_the_prompt_comes_back_as_text(client: Client):
    _, record = client.predict(prompt="<script>alert(1)</script>", steps=1, api_name=ENDPOINT)
    assert record["pictures"][0]["request"]["prompt"] == "<script>alert(1)</script>"


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("call/v2/nowhere", {"prompt": "a"}, 404, "text_to_image"),
        ("call/nowhere", {"data": []}, 404, "text_to_image"),
        ("call/text_to_image", {"data": ["a"]}, 422, "parameters are needed in order"),
        ("call/text_to_image", {"data": ["a"] * 20}, 422, "parameters are needed in order"),
        ("call/models", {"data": ["a"]}, 400, "takes no parameters"),
        ("call/v2/models", {"name": "a"}, 400, "takes no parameters"),
    ],
)
def test_a_call_that_cannot_be_meant_gets_a_sentence(address: str, path: str, body: dict, status: int, words: str):
    answer = httpx.post(f"{address}gradio_api/{path}", json=body)
    assert answer.status_code == status
    assert words in answer.text
    assert "[E-API-ARGS]" in answer.text


@pytest.mark.parametrize("path", ["call/v2/text_to_image", "call/text_to_image", "queue/join"])
@pytest.mark.parametrize(
    "body",
    ["[" * 100_000 + "]" * 100_000, "[" + "9" * 5000 + "]", "NaN", "[]", "boat", "\ud800"],
    ids=["deep", "long", "nan", "list", "text", "surrogate"],
)
def test_a_body_that_is_no_json_object_gets_a_sentence(address: str, path: str, body: str):
    content = body.encode("utf-8", "surrogatepass")
    answer = httpx.post(f"{address}gradio_api/{path}", content=content, headers={"content-type": "application/json"})
    assert (answer.status_code, "[E-API-ARGS]" in answer.text) == (400, True)


@pytest.mark.parametrize("number", ["[]", "{}", '"x"', "NaN", "1e400", "1" * 400, "9999", "[NaN]", "null"])
def test_an_event_of_a_number_that_cannot_be_is_refused(address: str, number: str):
    content = f'{{"data": [], "session_hash": "x", "fn_index": {number}}}'
    answer = httpx.post(
        f"{address}gradio_api/queue/join", content=content, headers={"content-type": "application/json"}
    )
    assert 400 <= answer.status_code < 500


def test_only_the_pictures_folder_is_served(address: str, engine: FakeEngine, tmp_path: Path):
    secret = tmp_path / "secret.txt"
    secret.write_text("no")
    assert httpx.get(f"{address}gradio_api/file={secret}").status_code == 403
    assert httpx.get(f"{address}gradio_api/file={engine.submitted[0].saved[0].path}").status_code == 200


@pytest.mark.parametrize(
    "path", ["file=http://other.test/x", "file=HTTPS://other.test/x.png", "proxy=http://other.test/x"]
)
def test_nobody_is_sent_to_another_host_nor_given_its_files(address: str, path: str):
    assert httpx.get(f"{address}gradio_api/{path}").status_code == 403
