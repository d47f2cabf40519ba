"""Code that uses @gradio/client, run in Node. `tests/clients/test_javascript_client.py` fetches the client."""

import subprocess
import uuid
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "clients"


def printed(code: str) -> str:
    """What `code` prints."""
    if not (FOLDER / "node_modules" / "@gradio" / "client").is_dir():
        pytest.skip("@gradio/client is not installed in tests/clients")
    file = FOLDER / f"{uuid.uuid4().hex}.mjs"
    file.write_text(f"{code}process.exit(0);\n", encoding="utf-8")
    try:
        done = subprocess.run(["node", str(file)], cwd=FOLDER, capture_output=True, text=True, timeout=100)
    finally:
        file.unlink()
    assert done.returncode == 0, done.stderr
    return done.stdout
