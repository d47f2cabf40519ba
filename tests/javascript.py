"""Code that uses @gradio/client, run in Node. Needs node and npm; the client is fetched once."""

import shutil
import subprocess
import uuid
from pathlib import Path

import pytest
from filelock import FileLock

FOLDER = Path(__file__).parent / "clients"


def node() -> str:
    """The program, with @gradio/client where what lies in `FOLDER` finds it; else the test is skipped."""
    program, npm = shutil.which("node"), shutil.which("npm")
    if not program or not npm:
        pytest.skip("node and npm are needed for the JavaScript client")
    with FileLock(FOLDER / "node_modules.lock"):
        if not (FOLDER / "node_modules" / "@gradio" / "client").is_dir():
            install = [npm, "install", "--no-audit", "--no-fund", "--no-package-lock"]
            done = subprocess.run(install, cwd=FOLDER, capture_output=True, text=True, timeout=120)
            if done.returncode:
                pytest.skip(f"npm could not install @gradio/client: {done.stderr[-200:]}")
    return program


def printed(code: str) -> str:
    """What `code` prints."""
    program = node()
    file = FOLDER / f"{uuid.uuid4().hex}.mjs"
    file.write_text(f"{code}process.exit(0);\n", encoding="utf-8")
    try:
        done = subprocess.run([program, str(file)], cwd=FOLDER, capture_output=True, text=True, timeout=100)
    finally:
        file.unlink()
    assert done.returncode == 0, done.stderr
    return done.stdout
