"""nginx before a page, as docs/serve.md says."""

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.waiting import wait_until

SERVE = Path(__file__).parent.parent / "docs" / "serve.md"
NGINX = """
{user}
daemon off; pid {folder}/pid; error_log {folder}/error.log;
events {{}}
http {{
    access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    server {{ listen 127.0.0.1:{port}; {block} }}
}}
"""


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


@contextmanager
def behind_nginx(address: str, folder: Path, *, path_handed_on: bool = False) -> Iterator[str]:
    """The address at which nginx, configured by the block in docs/serve.md, has the page at `address` under /easel.
    Its files lie in `folder`. With `path_handed_on` it does not take /easel off."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("nginx is not installed")
    (block,) = re.findall(r"```nginx\n(.*?)```", SERVE.read_text(encoding="utf-8"), re.DOTALL)
    assert "http://127.0.0.1:7860/;" in block
    block = block.replace("http://127.0.0.1:7860/", address.rstrip("/") + ("" if path_handed_on else "/"))
    port, user = free_port(), "user root root;" if os.geteuid() == 0 else ""
    (folder / "conf").write_text(NGINX.format(user=user, folder=folder, port=port, block=block), encoding="utf-8")
    process = subprocess.Popen([program, "-c", folder / "conf", "-p", folder, "-e", folder / "error.log"])
    try:
        wait_until(lambda: (folder / "pid").exists(), 10)
        yield f"http://127.0.0.1:{port}/easel/"
    finally:
        process.terminate()
        process.wait(10)
