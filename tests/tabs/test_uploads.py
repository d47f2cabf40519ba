"""Pictures through the endpoint, the command line and the form."""

from pathlib import Path

import gradio as gr
import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import ValidationError
from PIL import Image

from presets.errors import InvalidField
from presets.inputs import Inputs, digest
from presets.requests import ImageToImage
from tabs.command_line import parse_arguments, run_request
from tabs.form import Form
from tests.fake_engine import FakeEngine

ENDPOINT = "/image_to_image"
RED = Image.new("RGB", (96, 64), "red")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    RED.save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def call(address: str, **values: object) -> httpx.Response:
    return httpx.post(f"{address}gradio_api/call/v2{ENDPOINT}", json={"prompt": "a", **values})


def test_the_client_gives_a_file_and_the_record_names_it(client: Client, engine: FakeEngine, photo: Path):
    _, record = client.predict(image=handle_file(photo), prompt="a boat", steps=2, api_name=ENDPOINT)
    request = record["pictures"][0]["request"]
    assert request["image"] == {"sha256": digest(RED), "width": 96, "height": 64}
    assert (request["width"], request["height"]) == (96, 64)
    assert engine.inputs.open(engine.submitted[-1].request.image).getpixel((0, 0)) == (255, 0, 0)


def test_a_resolved_request_can_be_sent_again_without_the_file(client: Client, engine: FakeEngine):
    image = engine.inputs.keep(RED).model_dump()
    _, record = client.predict(image=image, prompt="a boat", steps=2, api_name=ENDPOINT)
    assert record["pictures"][0]["request"]["image"] == image


def test_a_mask_may_be_a_file_where_the_picture_is_named(client: Client, engine: FakeEngine, tmp_path: Path):
    Image.new("L", (96, 64), 255).save(tmp_path / "mask.png")
    given = {"image": engine.inputs.keep(RED).model_dump(), "mask": handle_file(tmp_path / "mask.png")}
    _, record = client.predict(**given, prompt="a boat", steps=2, api_name="/inpaint")
    assert record["pictures"][0]["warnings"] == ["The mask spares nothing: the whole picture is redrawn."]


def test_the_picture_and_the_prompt_are_all_that_must_be_given(address: str):
    parameters = httpx.get(f"{address}gradio_api/info").json()["named_endpoints"][ENDPOINT]["parameters"]
    assert [part["parameter_name"] for part in parameters if not part["parameter_has_default"]] == ["image", "prompt"]


def test_a_file_that_is_no_picture_is_refused_by_its_content(client: Client, tmp_path: Path):
    page = tmp_path / "page.png"
    page.write_text("<html></html>")
    with pytest.raises(ValidationError, match=r"- image: .*not a PNG.*\[E-IMAGE-FORMAT\]"):
        client.predict(image=handle_file(page), prompt="a", api_name=ENDPOINT)


@pytest.mark.parametrize("meta", [{}, {"meta": {"_type": "gradio.FileData"}}])
@pytest.mark.parametrize("path", ["/etc/passwd", "../../etc/passwd", "\0", "/proc/self/mem"])
def test_a_file_that_nobody_uploaded_is_not_opened(address: str, path: str, meta: dict):
    answer = call(address, image={"path": path, **meta})
    assert 400 <= answer.status_code < 600
    assert "root:" not in answer.text


@pytest.mark.parametrize("path", ["http://other.test/x.png", " HTTPS://other.test/x.png"])
def test_no_file_is_fetched_from_another_host(address: str, path: str):
    asked = [call(address, image={"path": path, "meta": {"_type": "gradio.FileData"}})]
    body = {"data": [[{"path": path}]], "session_hash": "a"}
    asked += [httpx.post(f"{address}gradio_api/{way}", json={"fn_index": 0, **body}) for way in ("queue/join", "run/x")]
    assert [answer.status_code for answer in asked] == [400] * 3
    assert all("Only a file that was uploaded here" in answer.text for answer in asked)


@pytest.mark.parametrize("image", [None, "x", 7, [], {"sha256": "../x", "width": 64, "height": 64}])
def test_what_is_no_file_is_refused_at_once(address: str, image: object):
    answer = call(address, image=image)
    assert answer.status_code == 422
    complaint = next(part for part in answer.json()["detail"] if not part["is_valid"])
    assert complaint["parameter_name"] == "image"


def test_a_picture_that_is_kept_no_more_ends_in_a_sentence(client: Client):
    gone = {"sha256": "cd" * 32, "width": 64, "height": 64}
    with pytest.raises(Exception, match=r"choose it again. \[E-IMAGE-MISSING\]"):
        client.predict(image=gone, prompt="a", api_name=ENDPOINT)


def test_the_command_line_gives_a_file(tmp_path: Path, photo: Path, capsys: pytest.CaptureFixture[str]):
    engine = FakeEngine(tmp_path / "pictures")
    line = ["image-to-image", "--image", str(photo), "--prompt", "a", "--steps", "2"]
    assert run_request(engine, parse_arguments(line)) == 0
    assert engine.submitted[0].request.image.sha256 == digest(RED)
    assert run_request(engine, parse_arguments([*line, "--image", str(tmp_path / "none.png")])) == 2
    assert "There is no file" in capsys.readouterr().err


@pytest.fixture
def form(tmp_path: Path) -> Form[ImageToImage]:
    form = Form(ImageToImage, Inputs(tmp_path / "inputs"))
    with gr.Blocks():
        form.widget("image")
        form.widget("prompt")
    return form


def test_the_form_keeps_what_was_uploaded_and_shows_it_again(form, photo, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(photo.parent))
    request = form.request([{"path": str(photo), "meta": {"_type": "gradio.FileData"}}, "a"])
    shown, prompt = form.values(request)
    assert (digest(shown), prompt) == (digest(RED), "a")


def test_the_form_asks_for_a_picture_and_shows_none_that_is_gone(form, photo, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(photo.parent))
    with pytest.raises(InvalidField, match="choose one first"):
        form.request([None, "a"])
    request = form.request([{"path": str(photo)}, "a"])
    next(form.store.root.rglob("*.png")).unlink()
    assert form.values(request)[0] is None
