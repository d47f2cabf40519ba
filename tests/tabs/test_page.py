import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from presets.settings import Settings
from tabs.page import build_page
from tabs.serving import serve
from tests.fake_engine import FakeEngine
from tests.served import served


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery's folder: a picture, and the index of all prompts."""
    folder = tmp_path_factory.mktemp("Home") / "pictures"
    (folder / "2026-01-01").mkdir(parents=True)
    for name in ("index.sqlite", "index.sqlite-wal", "2026-01-01/000001-7.png", "2026-01-01/.000002.part"):
        (folder / name).write_bytes(b"content")
    return folder


@pytest.fixture(scope="module")
def address(pictures: Path) -> Iterator[str]:
    with served(FakeEngine(pictures), pictures) as address:
        yield address


def status(address: str, path: str) -> int:
    return httpx.get(f"{address}gradio_api/{path}").status_code


def test_a_picture_can_be_fetched(address: str, pictures: Path):
    assert status(address, f"file={pictures}/2026-01-01/000001-7.png") == 200


@pytest.mark.parametrize("name", ["index.sqlite", "index.sqlite-wal", "2026-01-01/.000002.part"])
@pytest.mark.parametrize("route", ["file=", "file/"])
def test_nothing_beside_the_pictures_can_be_fetched(address: str, pictures: Path, route: str, name: str):
    assert status(address, f"{route}{pictures}/{name}") == 403
    assert status(address, f"{route}{pictures}/x/gradio_api/file=/%2e%2e/%2e%2e/%2e%2e/{name}") == 403


@pytest.mark.parametrize("folder", ["static", "assets", "svelte"])
def test_a_name_that_no_file_can_have_is_of_no_file(address: str, folder: str):
    answer = httpx.get(f"{address}{folder}/{'x' * 5000}")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="a folder of Linux")
def test_the_index_cannot_be_fetched_by_another_name(address: str, pictures: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(pictures)
    assert status(address, "file=/proc/self/cwd/index.sqlite") == 403
    assert status(address, "file=/proc/self/cwd/2026-01-01/000001-7.png") == 200


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux answers on all of 127.0.0.0/8")
def test_a_host_that_was_given_wins_over_the_platforms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GRADIO_SERVER_NAME", "127.0.0.1")
    page = build_page(FakeEngine(tmp_path))
    address = serve(page, Settings(home=tmp_path, host="127.0.0.2"), pictures=tmp_path)
    page.close(verbose=False)
    assert address.startswith("http://127.0.0.2:")
