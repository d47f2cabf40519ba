"""GGUF files are told by their first entries."""

import struct

import pytest

from pipelines.engine.catalog import Catalog
from pipelines.engine.errors import ModelCorrupt, ModelFamily


def text(value):
    return struct.pack("<Q", len(value)) + value.encode()


def gguf(entries):
    body = b"".join(text(key) + value for key, value in entries.items())
    return b"GGUF" + struct.pack("<IQQ", 3, 1, len(entries)) + body


VERSION = {"general.quantization_version": struct.pack("<II", 4, 2)}
FLUX = {"general.architecture": struct.pack("<I", 8) + text("flux")}
CAT = {"general.architecture": struct.pack("<I", 8) + text("cat")}


def found(tmp_path, content):
    path = tmp_path / "checkpoints/small.gguf"
    path.parent.mkdir()
    path.write_bytes(content)
    return Catalog((tmp_path,), tmp_path / "none").find("small")


@pytest.mark.parametrize(
    ("entries", "what"),
    [
        ({**VERSION, **FLUX}, "a Flux.1 transformer"),
        (CAT, "architecture 'cat'"),
        ({}, "without a name"),
        ({"general.architecture": struct.pack("<IQ", 8, 2**60)}, "without a name"),
        ({"list": struct.pack("<I", 9)}, "without a name"),
    ],
)
def test_gguf_file_is_told_what_it_is_and_what_to_use(tmp_path, entries, what):
    with pytest.raises(ModelFamily, match=f"{what} in GGUF: .*diffusers folder"):
        found(tmp_path, gguf(entries))


def test_other_content_is_corrupt(tmp_path):
    with pytest.raises(ModelCorrupt, match="no GGUF"):
        found(tmp_path, b"<html>")
