"""A certificate of one's own, for 127.0.0.1, made by the openssl program."""

import shutil
import subprocess
from pathlib import Path

import pytest


def certificate(folder: Path, password: str = "") -> tuple[Path, Path]:
    """The files of a certificate that nobody vouches for, and of its key, with a password where one is given."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    file, key = folder / "certificate.pem", folder / "key.pem"
    protection = ["-passout", f"pass:{password}"] if password else ["-noenc"]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-days", "2"]
    names = ["-subj", "/CN=easel", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(file)]
    subprocess.run([*command, *protection, *names, *files], check=True, capture_output=True)
    return file, key
