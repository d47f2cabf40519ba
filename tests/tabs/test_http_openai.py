"""OpenAI's own client against Easel."""

import base64
import io
from collections.abc import Iterator

import httpx
import openai
import pytest
from PIL import Image

from pipelines.engine.errors import ModelNotFound
from presets.requests import ImageToImage, Inpaint, TextToImage
from tests.fake_engine import FakeEngine

SMALL = {"extra_body": {"steps": 2, "seed": 7}}
MORE = {"steps": 2, "seed": 7, "strength": 0.5}


@pytest.fixture
def client(address: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{address}v1", api_key="k" * 24, max_retries=0) as client:
        yield client


def png(hole: bool = False, mode: str = "RGBA") -> bytes:
    """A square; with a `hole`, its left half is transparent."""
    image = Image.new(mode, (64, 64), "teal")
    if hole:
        image.paste((0, 0, 0, 0), (0, 0, 32, 64))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def test_pictures_come_as_base64(client: openai.OpenAI, engine: FakeEngine):
    answer = client.images.generate(
        prompt="a boat", model="gpt-image-1", n=2, size="64x128", quality="low", extra_body=MORE
    )
    job = engine.submitted[-1]
    request = job.request
    assert isinstance(request, TextToImage)
    assert (request.prompt, request.count, request.width, request.height) == ("a boat", 2, 64, 128)
    assert (request.steps, request.seed) == (2, 7)
    assert answer.data is not None
    files = [saved.path.read_bytes() for saved in job.saved]
    assert [base64.b64decode(picture.b64_json or "") for picture in answer.data] == files
    about = answer.model_dump()["easel"]
    assert (about["requests"][1]["seed"], about["ignored"]) == (8, ["quality", "strength"])


def test_pictures_come_by_address_to_their_owner_only(client: openai.OpenAI, engine: FakeEngine):
    answer = client.images.generate(prompt="a boat", response_format="url", **SMALL)
    assert answer.data and answer.data[0].url
    mine = httpx.get(answer.data[0].url, headers={"authorization": f"Bearer {client.api_key}"})
    assert mine.content == engine.submitted[-1].saved[0].path.read_bytes()
    assert httpx.get(answer.data[0].url).status_code == 404


def test_a_picture_is_redrawn_and_its_transparent_part_inpainted(client: openai.OpenAI, engine: FakeEngine):
    client.images.edit(image=png(mode="RGB"), prompt="a ship", size="auto", **SMALL)
    redrawn = engine.submitted[-1].request
    assert isinstance(redrawn, ImageToImage) and (redrawn.prompt, redrawn.steps) == ("a ship", 2)

    client.images.edit(image=[png(mode="RGB")], mask=png(hole=True), prompt="a ship", **SMALL)
    masked = engine.submitted[-1].request
    client.images.edit(image=png(hole=True), prompt="a ship", **SMALL)
    own = engine.submitted[-1].request
    assert isinstance(masked, Inpaint) and isinstance(own, Inpaint)
    assert masked.mask == own.mask and masked.image != own.image
    where = engine.inputs.painted(masked.mask)
    assert masked.invert_mask and (where.getpixel((0, 0)), where.getpixel((63, 0))) == (0, 255)


def test_models_are_listed_and_chosen(client: openai.OpenAI, engine: FakeEngine):
    name = engine.checkpoints[0].name
    assert [model.id for model in client.models.list()] == [name]
    client.images.generate(prompt="a boat", model=name, **SMALL)
    request = engine.submitted[-1].request
    assert request.checkpoint_used == name
    engine.refusal = ModelNotFound("nothing-like-it")
    try:
        with pytest.raises(openai.NotFoundError, match="No checkpoint is called"):
            client.images.generate(prompt="a boat", model="nothing-like-it", **SMALL)
    finally:
        engine.refusal = None


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"size": "large"}, "E-SIZE", "size"),
        ({"size": "9999x64"}, "E-SIZE", "width"),
        ({"n": 99}, "E-BATCH", "count"),
        ({"output_format": "webp"}, "E-API-ARGS", "output_format"),
        ({"response_format": "gif"}, "E-API-ARGS", "response_format"),
        ({"stream": True}, "E-API-ARGS", "stream"),
        ({"steps": "many"}, "E-STEPS", "steps"),
        ({"model": 5}, "E-", "checkpoint"),
        ({"prompt": None}, "E-", "prompt"),
    ],
)
def test_what_is_wrong_is_refused_in_openais_shape(address: str, change: dict, code: str, field: str):
    answer = httpx.post(f"{address}v1/images/generations", json={"prompt": "a boat", "steps": 2, **change})
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["param"]) == (400, "invalid_request_error", field)
    assert error["code"].startswith(code) and error["message"]


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({"mask": png(hole=True)}, "E-IMAGE"),
        ({"image": b"text"}, "E-IMAGE-FORMAT"),
        ({"image": png(), "mask": png(mode="RGB")}, "E-MASK"),
        ({"image": png(), "image[]": png()}, "E-IMAGE"),
    ],
)
def test_wrong_files_are_refused(address: str, engine: FakeEngine, files: dict, code: str):
    before = len(engine.submitted)
    answer = httpx.post(f"{address}v1/images/edits", data={"prompt": "a boat"}, files=files)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)
    assert len(engine.submitted) == before


def test_a_body_that_is_no_form_and_a_page_of_another_site_are_refused(address: str):
    edits, body = f"{address}v1/images/edits", {"prompt": "a boat"}
    assert httpx.post(edits, json=body).json()["error"]["code"] == "E-API-ARGS"
    broken = httpx.post(edits, content=b"nothing", headers={"content-type": "multipart/form-data; boundary=x"})
    assert broken.json()["error"]["code"] == "E-API-ARGS"
    foreign = httpx.post(f"{address}v1/images/generations", json=body, headers={"origin": "https://elsewhere.example"})
    assert (foreign.status_code, foreign.json()["error"]["code"]) == (403, "E-ORIGIN")
