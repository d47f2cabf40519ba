"""Bad inputs through the page's endpoint and the command line, on the real engine: each gets its sentence, each
harmless one its picture, and a good job passes after them."""

import json
import math
from pathlib import Path

import httpx
import pytest

from presets.metadata import read_request
from presets.requests import TextToImage
from tabs.command_line import parse_arguments, run_request

SMALL = {"steps": 1, "width": 64, "height": 64}
HUGE = "a " * 100_000
OUTSIDE = "<lora:../../etc/passwd:1>"

REFUSED = [
    ("prompt", HUGE, "E-PROMPT-LONG"),
    ("negative_prompt", HUGE, "E-PROMPT-LONG"),
    ("prompt", "a \ud800", "E-TEXT-ENCODING"),
    ("negative_prompt", "a \ud800", "E-TEXT-ENCODING"),
    ("prompt", "(a:nan)", "E-WEIGHT"),
    ("prompt", "(a:1e9)", "E-WEIGHT"),
    ("prompt", "(a:-10.5)", "E-WEIGHT"),
    ("prompt", "<lora:ink:nan>", "E-WEIGHT"),
    ("height", 65, "E-SIZE"),
    *(("height", value, "E-SIZE") for value in (0, -8, 8, 10**6, math.nan, True, 2056)),
    *(("steps", value, "E-STEPS") for value in (0, -1, 1001, 2.5, 20.5, math.nan, True)),
    *(("guidance_scale", value, "E-CFG") for value in (math.nan, math.inf, -5, 1e9)),
    *(("seed", value, "E-SEED") for value in (2**64, 2**53, 2**53 + 1, -2, 1.5, math.nan, "seven")),
    *(("count", value, "E-BATCH") for value in (0, -1, 9, 1000, 1.5)),
    *(("sampler", value, "E-SCHEDULER") for value in ("", "Eula", "<script>alert(1)</script>")),
    *(("schedule", value, "E-SCHEDULER") for value in ("Karras", "")),
]
"""Field, value, code: what is refused before anything is queued."""

RUNS = [
    ("prompt", ""),
    ("prompt", "a \u202eboat"),
    ("prompt", "((a:1.3"),
    ("prompt", "[a|b"),
    ("prompt", "__../secret__ and __loop__"),
    ("prompt", "<script>alert(1)</script>"),
    ("seed", "7"),
    ("seed", 2**53 - 1),
]
"""Field and value: what looks odd and is drawn as it stands."""

FROM_JSON_ONLY = [("height", "512", "E-SIZE"), ("steps", "20", "E-STEPS"), ("prompt", 5, "E-API-ARGS")]
"""What has a type that a command line cannot give."""


def shown(value: object) -> str:
    return repr(value)[:24].encode("utf-8", "backslashreplace").decode()


def call(address: str, **values: object) -> httpx.Response:
    """The endpoint called by hand, with values that Gradio's client cannot send."""
    body = json.dumps({"prompt": "a boat", **values})
    return httpx.post(f"{address}gradio_api/call/v2/text_to_image", content=body, headers=JSON, timeout=60)


JSON = {"content-type": "application/json"}


def command(engine, *options: str) -> int:
    return run_request(engine, parse_arguments(["text-to-image", "--prompt=a boat", *options]))


def option(field: str, value: object) -> str:
    return f"--{field.replace('_', '-')}={value}"


def ended(address: str, call_id: str) -> str:
    """What the endpoint streams for a call that was accepted, to its end."""
    return httpx.get(f"{address}gradio_api/call/text_to_image/{call_id}", timeout=60).text


@pytest.mark.parametrize(("field", "value", "code"), [*REFUSED, *FROM_JSON_ONLY], ids=shown)
def test_the_endpoint_refuses_with_the_fields_name_and_a_sentence(real_address, field, value, code):
    answer = call(real_address, **{field: value})
    assert answer.status_code == 422
    (complaint,) = [part for part in answer.json()["detail"] if not part["is_valid"]]
    assert complaint["parameter_name"] == field
    assert complaint["message"].endswith(f"[{code}]")
    assert 20 < len(complaint["message"]) <= 320


@pytest.mark.parametrize(("field", "value", "code"), REFUSED, ids=shown)
def test_the_command_line_refuses_in_one_line(real_engine, capsys, field, value, code):
    assert command(real_engine, option(field, value)) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("easel: ") and told.err.endswith(f"[{code}]\n") and told.err.count("\n") == 1


def test_after_the_refusals_a_good_job_passes(real_client):
    assert real_client.predict(prompt="a boat", **SMALL, api_name="/text_to_image")[1]["state"] == "finished"


def test_a_lora_that_is_not_listed_ends_the_call_with_a_sentence(real_address):
    answer = call(real_address, prompt=OUTSIDE)
    told = ended(real_address, answer.json()["event_id"])
    assert "event: error" in told
    assert "No LoRA is called '../../etc/passwd'" in told and "[E-LORA-UNKNOWN]" in told


def test_a_lora_that_is_not_listed_is_refused_by_the_command_line(real_engine, capsys):
    assert command(real_engine, f"--prompt={OUTSIDE}") == 2
    assert capsys.readouterr().err == "easel: No LoRA is called '../../etc/passwd'. [E-LORA-UNKNOWN]\n"


@pytest.mark.parametrize(("field", "value"), RUNS, ids=shown)
def test_the_endpoint_draws_what_only_looks_bad(real_client, field, value):
    values = {"prompt": "a boat", **SMALL, field: value}
    _, record = real_client.predict(**values, api_name="/text_to_image")
    request = record["pictures"][0]["request"]
    assert request[field] == TextToImage(**values).model_dump()[field]
    assert record["pictures"][0]["warnings"] == []


@pytest.mark.parametrize(("field", "value"), RUNS, ids=shown)
def test_the_command_line_draws_what_only_looks_bad(real_engine, tmp_path, field, value):
    target = tmp_path / "boat.png"
    small = [option(name, number) for name, number in SMALL.items()]
    assert command(real_engine, *small, option(field, value), f"--output={target}") == 0
    assert getattr(read_request(target).request, field) == getattr(TextToImage(**{"prompt": "", field: value}), field)


def warned_of(path: Path) -> tuple[str, list[str]]:
    recovered = read_request(path)
    return recovered.request.prompt, recovered.record["warnings"]


CONTROL_WARNING = "Control characters were removed from the prompt."


def test_the_endpoint_removes_control_characters_and_the_metadata_says_so(real_client, settings):
    _, record = real_client.predict(prompt="a\x00 \u202eboat\x9b", **SMALL, api_name="/text_to_image")
    (picture,) = record["pictures"]
    assert picture["warnings"] == [CONTROL_WARNING]
    (path,) = settings.pictures.rglob(picture["file"])
    assert warned_of(path) == ("a \u202eboat", [CONTROL_WARNING])


def test_the_command_line_removes_control_characters_and_the_metadata_says_so(real_engine, tmp_path, capsys):
    target = tmp_path / "boat.png"
    assert command(real_engine, "--prompt=a\x1b boat", "--steps=1", f"--output={target}") == 0
    assert f"warning: {CONTROL_WARNING}" in capsys.readouterr().err
    assert warned_of(target) == ("a boat", [CONTROL_WARNING])


def test_a_random_seed_is_chosen_and_told(real_engine, capsys):
    assert command(real_engine, "--seed=-1", "--steps=1", "--json") == 0
    record = json.loads(capsys.readouterr().out)
    (picture,) = record["pictures"]
    assert record["request"]["seed"] == picture["request"]["seed"] >= 0
    assert read_request(Path(picture["path"])).request.seed == record["request"]["seed"]


def test_at_the_end_a_good_job_still_passes_through_both_doors(real_client, real_engine):
    _, record = real_client.predict(prompt="a boat", **SMALL, api_name="/text_to_image")
    assert record["state"] == "finished"
    assert command(real_engine, "--steps=1") == 0
