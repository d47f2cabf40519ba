"""Easel at a sub-path behind nginx, with the block of configuration that docs/serve.md shows."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from presets.requests import TextToImage
from presets.settings import Settings
from tabs.copy_as import snippets
from tests.javascript import printed
from tests.pixels import pixels
from tests.proxies import behind_nginx
from tests.served import connected, served

HOUSE = {"kind": "text-to-image", "prompt": "a red house", "steps": 2, "seed": 7}


@pytest.fixture(scope="module")
def under_path(real_engine, settings: Settings) -> Iterator[str]:
    """The address of a page that is told to be under /easel, as the proxy finds it."""
    own = Settings(home=settings.home, root_path="/easel", trusted_hosts=("easel.example",))
    with served(real_engine, settings.pictures, own) as address:
        yield address


@pytest.fixture(scope="module")
def proxied(under_path: str, tmp_path_factory) -> Iterator[str]:
    """Its address behind nginx."""
    with behind_nginx(under_path, tmp_path_factory.mktemp("nginx")) as address:
        yield address


def test_the_page_and_all_it_names_are_under_the_path(proxied: str):
    page = httpx.get(proxied)
    assert page.status_code == 200 and "; Path=/easel; " in page.headers["set-cookie"]
    config = httpx.get(f"{proxied}config").json()
    assert config["root"] == proxied.rstrip("/")
    files = re.findall(r'(?:src|href)="\.?/?((?:assets|theme\.css)[^"]*)"', page.text)
    assert files and all(httpx.get(proxied + file).status_code == 200 for file in files)


def test_gradios_client_draws_through_the_proxy_and_gets_its_pictures(proxied: str, tmp_path: Path):
    client = connected(proxied, tmp_path)
    pictures, record = client.predict(prompt="a red house", steps=2, seed=7, api_name="/text_to_image")
    assert record["pictures"][0]["request"]["seed"] == 7
    assert pixels(pictures).shape == (1, 128, 128, 3)


def test_jobs_over_http_and_their_pictures_are_under_the_path(proxied: str):
    answer = httpx.post(f"{proxied}api/jobs?wait=100", json=HOUSE, timeout=100)
    assert answer.headers["location"].startswith("/easel/api/jobs/")
    picture = httpx.get(httpx.URL(proxied).join(answer.json()["pictures"][0]["url"]))
    assert picture.headers["content-type"] == "image/png"
    events = httpx.get(f"{httpx.URL(proxied).join(answer.headers['location'])}/events").text
    assert '"url": "/easel/api/jobs/' in events


def test_other_programs_clients_are_served_under_the_path(proxied: str):
    drawn = httpx.post(f"{proxied}sdapi/v1/txt2img", json={"prompt": "a boat", "steps": 2, "seed": 1}, timeout=100)
    assert len(drawn.json()["images"]) == 1
    body = {"prompt": "a boat", "response_format": "url", "n": 1}
    (picture,) = httpx.post(f"{proxied}v1/images/generations", json=body, timeout=100).json()["data"]
    assert picture["url"].startswith(f"{proxied}api/jobs/") and httpx.get(picture["url"]).status_code == 200


def test_what_copy_as_writes_works_through_the_proxy(proxied: str, tmp_path: Path):
    asked = TextToImage(prompt="a red house", steps=2, seed=7)
    done = subprocess.run(
        [sys.executable, "-c", snippets(asked, proxied)["Python"]], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    job = httpx.post(f"{proxied}api/jobs?wait=100", json=HOUSE, timeout=100).json()
    (tmp_path / "x.png").write_bytes(httpx.get(httpx.URL(proxied).join(job["pictures"][0]["url"])).content)
    copied = json.loads(done.stdout.splitlines()[-1].replace("'", '"'))
    assert np.array_equal(pixels(copied), pixels([tmp_path / "x.png"]))


def test_the_javascript_client_draws_through_the_proxy_and_gets_its_picture(proxied: str, tmp_path: Path):
    asked = TextToImage(prompt="a red house", steps=2, seed=7)
    (picture,) = re.findall(r"https?://[^'\"\s]+", printed(snippets(asked, proxied)["JavaScript"]))
    assert picture.startswith(proxied)
    job = httpx.post(f"{proxied}api/jobs?wait=100", json=HOUSE, timeout=100).json()
    drawn = [picture, str(httpx.URL(proxied).join(job["pictures"][0]["url"]))]
    for name, address in zip("ab", drawn, strict=True):
        (tmp_path / name).write_bytes(httpx.get(address).content)
    assert np.array_equal(pixels([tmp_path / "a"]), pixels([tmp_path / "b"]))


def test_pages_of_other_sites_are_refused_through_the_proxy_whatever_they_claim(proxied: str):
    join, own = f"{proxied}gradio_api/queue/join", proxied.split("/easel")[0]
    claims = {"origin": "http://evil.example", "x-forwarded-host": "evil.example"}
    assert httpx.post(join, json={}, headers=claims).status_code == 403
    assert httpx.post(f"{proxied}api/jobs", json=HOUSE, headers=claims).status_code == 403
    assert httpx.post(f"{proxied}api/jobs", json={}, headers={"origin": own}).status_code == 422


def test_a_name_that_is_trusted_reaches_the_page_through_the_proxy_and_no_other_does(proxied: str):
    def sent(name: str) -> int:
        headers = {"host": name, "origin": f"https://{name}", "x-forwarded-proto": "https"}
        return httpx.post(f"{proxied}api/jobs", json={}, headers=headers).status_code

    assert (sent("easel.example"), sent("evil.example")) == (422, 403)


def test_a_proxy_may_as_well_hand_paths_on_as_they_are(under_path: str, tmp_path: Path):
    with behind_nginx(under_path, tmp_path, path_handed_on=True) as address:
        assert httpx.get(address).status_code == httpx.get(f"{address}theme.css").status_code == 200
        assert httpx.get(f"{address}config").json()["root"] == address.rstrip("/")
        job = httpx.post(f"{address}api/jobs?wait=100", json=HOUSE, timeout=100).json()
        assert httpx.get(httpx.URL(address).join(job["pictures"][0]["url"])).status_code == 200
        connected(address, tmp_path).predict(api_name="/models")
