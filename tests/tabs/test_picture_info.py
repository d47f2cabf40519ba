from pathlib import Path

import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image, PngImagePlugin

from presets.metadata import ENCODERS
from presets.requests import TextToImage

HOUSE = TextToImage(prompt="a house <b>", checkpoint="Storybook", seed=7, width=128, height=128)
A1111 = "<script>alert(1)</script>\nSteps: 30, Sampler: Restart, Seed: 1, Size: 64x64, Model: gone, ENSD: 31337"


@pytest.fixture
def house(tmp_path: Path) -> Path:
    path = tmp_path / "house.webp"
    path.write_bytes(ENCODERS[".webp"](Image.new("RGB", (40, 24)), HOUSE, {}))
    return path


@pytest.fixture
def other(tmp_path: Path) -> Path:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("parameters", A1111)
    path = tmp_path / "other.png"
    Image.new("RGB", (40, 24)).save(path, pnginfo=texts)
    return path


def test_the_endpoint_tells_what_a_picture_was_made_with(client: Client, house: Path):
    info = client.predict(picture=handle_file(house), api_name="/picture_info")
    assert (info["program"], info["format"], info["width"], info["height"]) == ("Easel", "WebP", 40, 24)
    assert TextToImage(**info["request"]) == HOUSE


def test_the_endpoint_tells_what_is_missing_and_what_cannot_be_honoured(client: Client, other: Path):
    info = client.predict(picture=handle_file(other), api_name="/picture_info")
    assert [missing["name"] for missing in info["missing"]] == ["gone"]
    assert info["ignored"] == {"ENSD": "31337"}
    assert info["texts"] == {"parameters": A1111}


def test_a_file_that_is_no_picture_is_refused_with_a_sentence(client: Client, tmp_path: Path):
    path = tmp_path / "page.png"
    path.write_text("<html>")
    with pytest.raises(AppError, match="E-IMAGE-FORMAT"):
        client.predict(picture=handle_file(path), api_name="/picture_info")


def test_a_path_on_the_server_is_no_upload(address: str, house: Path):
    body = {"picture": {"path": str(house), "meta": {"_type": "gradio.FileData"}}}
    answer = httpx.post(f"{address}gradio_api/call/v2/picture_info", json=body)
    stream = httpx.get(f"{address}gradio_api/call/picture_info/{answer.json()['event_id']}").text
    assert "event: error" in stream
    assert "a house" not in stream


@pytest.mark.parametrize("body", [{}, {"picture": 7}, {"image": {}}])
def test_wrong_parameters_are_refused_by_name(address: str, body: dict):
    answer = httpx.post(f"{address}gradio_api/call/v2/picture_info", json=body)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["parameter_name"] in ("picture", "image")
