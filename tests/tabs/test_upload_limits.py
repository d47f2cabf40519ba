"""Uploads through Gradio's own route, with its real files."""

import socket
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from presets.images import FILE_LIMIT
from tabs.http_requests import BODY_LIMIT
from tests.waiting import wait_until


@pytest.fixture
def uploads(monkeypatch, tmp_path: Path) -> Path:
    """Where uploads are written by pages served within the test."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    return tmp_path / "uploads"


@pytest.fixture
def page(uploads: Path, tmp_path: Path):  # noqa: ARG001
    from tests.fake_engine import FakeEngine
    from tests.served import served

    with served(FakeEngine(tmp_path / "pictures"), tmp_path / "pictures") as address:
        yield address


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_file_over_the_limit_is_refused_and_nothing_of_it_is_kept(page: str, uploads: Path):
    answer = httpx.post(f"{page}gradio_api/upload", files={"files": ("a.png", bytes(FILE_LIMIT + 1))}, timeout=60)
    assert (answer.status_code, "size" in answer.text) == (413, True)
    assert files_in(uploads) == []


def test_many_files_in_one_call_are_refused_together(page: str, uploads: Path):
    some = [("files", (f"{number}.png", bytes(FILE_LIMIT - 1))) for number in range(4)]
    answer = httpx.post(f"{page}gradio_api/upload", files=some, timeout=60)
    assert (answer.status_code, "96 MiB" in answer.text) == (413, True)
    assert files_in(uploads) == []


def test_nothing_is_kept_of_an_upload_that_breaks_off(page: str, uploads: Path):
    place = urlsplit(page)
    head = (
        "POST /gradio_api/upload HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\n"
        "content-type: multipart/form-data; boundary=edge\r\n\r\n"
        '--edge\r\ncontent-disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    )
    with socket.create_connection((place.hostname, place.port or 80)) as connection:
        connection.sendall(head.encode() + b"x" * 200_000)
        wait_until(lambda: files_in(uploads))
    wait_until(lambda: not files_in(uploads))


@pytest.mark.parametrize("path", ["gradio_api/reset", "gradio_api/cancel", "gradio_api/component_server", "login"])
def test_no_route_of_gradios_takes_a_body_without_end(page: str, path: str):
    answer = httpx.post(page + path, content=bytes(BODY_LIMIT + 1), headers={"content-type": "application/json"})
    assert answer.status_code in (400, 413)


def test_a_whole_upload_is_kept_under_its_content(page: str, uploads: Path):
    answer = httpx.post(f"{page}gradio_api/upload", files={"files": ("../../a.png", b"x")})
    assert [Path(path) for path in answer.json()] == files_in(uploads)
    assert files_in(uploads)[0].name == "a.png"
