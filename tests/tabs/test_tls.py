"""The page over HTTPS with a certificate of one's own."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from gradio_client import Client

from presets.settings import Settings
from tests.certificates import certificate
from tests.fake_engine import FakeEngine
from tests.served import served


@pytest.fixture(scope="module")
def safe(engine: FakeEngine, tmp_path_factory) -> Iterator[tuple[str, Path]]:
    """(address, certificate) of a page that is served over HTTPS."""
    file, key = certificate(tmp_path_factory.mktemp("certificate"))
    with served(engine, engine.folder, Settings(home=engine.folder, ssl_certfile=file, ssl_keyfile=key)) as address:
        yield address, file


def test_the_page_the_client_and_the_doors_are_served_over_https(safe: tuple, tmp_path):
    address, file = safe
    assert address.startswith("https://127.0.0.1:")
    with httpx.Client(base_url=address, verify=str(file)) as browser:
        page = browser.get("/")
        assert "SameSite=None; Secure; Partitioned" in page.headers["set-cookie"]
        assert browser.get("config").json()["root"] == address.rstrip("/")
        job = browser.post("api/jobs?wait=10", json={"kind": "text-to-image", "prompt": "a boat", "steps": 1}).json()
        assert browser.get(job["pictures"][0]["url"]).headers["content-type"] == "image/png"
    client = Client(address, verbose=False, ssl_verify=False, analytics_enabled=False, download_files=tmp_path)
    assert client.predict(prompt="a boat", steps=1, seed=3, api_name="/text_to_image")[1]["state"] == "finished"


def test_without_tls_nobody_gets_in(safe: tuple):
    with pytest.raises(httpx.HTTPError):
        httpx.get(safe[0].replace("https", "http"))
