"""Where everyone has their own pictures, each door still hands pictures to who asked for them. On the real engine."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image

from pipelines.engine.jobs import Engine
from presets.settings import Settings
from tests.served import connected, served

SMALL = {"steps": 1, "width": 64, "height": 64}
JOB = {"kind": "text-to-image", "prompt": "a boat of my own", **SMALL}
SECRET = "my-secret-of-twenty-letters"


@pytest.fixture(scope="module")
def address(real_engine: Engine, settings: Settings) -> Iterator[str]:
    with served(real_engine, settings.pictures, is_private=True) as address:
        yield address


def visitor(address: str, **headers: str) -> httpx.Client:
    return httpx.Client(base_url=address, headers=headers, timeout=120)


def captions(client: httpx.Client) -> list[str]:
    return [picture["caption"] for picture in client.get("api/pictures").json()["pictures"]]


def test_gradios_client_which_has_no_cookie_fetches_its_pictures(address: str, tmp_path: Path):
    pictures, _ = connected(address, tmp_path).predict(prompt="a boat", **SMALL, api_name="/text_to_image")
    assert Image.open(pictures[0]).size == (64, 64)


@pytest.mark.parametrize("way", ["authorization", "cookie"])
def test_a_picture_is_listed_for_who_had_it_made_and_for_nobody_else(address: str, way: str):
    own = {"authorization": f"Bearer {SECRET}"} if way == "authorization" else {"cookie": f"easel={SECRET}"}
    with visitor(address, **own) as me, visitor(address, authorization="Bearer another-secret-of-letters") as you:
        before = len(captions(me))
        job = me.post("api/jobs", json=JOB, params={"wait": 100}).json()
        assert captions(me)[0] == "a boat of my own" and len(captions(me)) == before + 1
        assert captions(you) == []
        identifier = me.get("api/pictures").json()["pictures"][0]["id"]
        whole = me.get(f"api/pictures/{identifier}/file").content
        assert whole == me.get(job["pictures"][0]["url"].lstrip("/")).content
        assert you.get(f"api/pictures/{identifier}/file").status_code == 404
