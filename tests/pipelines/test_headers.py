import json
import struct
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from pipelines.engine.headers import BrokenFile, IncompleteFile, read_header
from tests.safetensors_files import SD1, write_header, write_safetensors


def test_header_gives_names_and_shapes_without_reading_weights(tmp_path):
    header = read_header(write_safetensors(tmp_path / "a.safetensors", SD1))
    assert header.shapes["model.diffusion_model.input_blocks.0.0.weight"] == (320, 4, 3, 3)
    assert header.count("first_stage_model.") == 512 * 4 * 9


def entry(start=0, stop=4, shape=(2,), dtype="F16"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, stop]}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"\0" * 4096, "zeros"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n", "Git LFS"),
        (b"\n<!DOCTYPE html><html>login</html>", "web page"),
        (b"PK\x03\x04" + b"x" * 100, "pickled"),
        (b"\x93NUMPY" + b"x" * 100, "no safetensors"),
        (struct.pack("<Q", 2**62) + b"{}", "no safetensors"),
    ],
)
def test_other_content_is_named(tmp_path, content, reason):
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    with pytest.raises(BrokenFile, match=reason):
        read_header(path)


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ('{"a": %s, "a": %s}', "twice"),
        ('{"a": %s, "b": %s}', "overlap"),
        ('{"a": [[[', "JSON"),
        ('{"a": 7}', "wrongly"),
        ('{"a": {"dtype": "F16", "shape": [3], "data_offsets": [0, 4]}}', "wrongly"),
        ('{"a": {"dtype": "F99", "shape": [2], "data_offsets": [0, 4]}}', "wrongly"),
        ('{"a": {"dtype": "F16", "shape": [-2, -1], "data_offsets": [0, 4]}}', "wrongly"),
        ('{"a": {"dtype": "F16", "shape": [2], "data_offsets": [4, 8]}}', "gaps"),
    ],
)
def test_headers_that_lie_are_refused(tmp_path, entries, reason):
    text = entries.replace("%s", json.dumps(entry()))
    with pytest.raises(BrokenFile, match=reason):
        read_header(write_header(tmp_path / "a.safetensors", text.encode(), 4))


LARGE = 10**30


@pytest.mark.parametrize(
    ("shape", "offsets"),
    [
        (["a", LARGE], [0, 4]),
        (["long" * 100, 2**40], [0, 4]),
        ([True, 2], [0, 4]),
        ([-1, -2], [0, 4]),
        ([2.0], [0, 4]),
        ([float("nan")], [0, 4]),
        ([[2]], [0, 4]),
        ("2", [0, 4]),
        ({"2": 2}, [0, 4]),
        (None, [0, 4]),
        ([LARGE, LARGE], [0, 4 * LARGE * LARGE // 2]),
        ([LARGE, 0], [0, 0]),
        ([2**62] * 100_000, [0, 4]),
        ([2], [False, 4]),
        ([2], ["0", "4"]),
        ([2], [0.0, 4.0]),
        ([2], [0, 4, 8]),
        ([2], None),
    ],
)
def test_shapes_and_offsets_that_are_no_sizes_are_refused_at_once(tmp_path, shape, offsets):
    text = json.dumps({"a": {"dtype": "F16", "shape": shape, "data_offsets": offsets}})
    path = write_header(tmp_path / "a.safetensors", text.encode(), 4)
    started = time.perf_counter()
    with pytest.raises(BrokenFile, match="wrongly"):
        read_header(path)
    assert time.perf_counter() - started < 5  # multiplying the longest of them takes a minute


ANYTHING = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=9) | some.just(LARGE),
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(some.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
TENSOR = some.fixed_dictionaries(
    {"dtype": some.sampled_from(["F16", "F4", "F99"]) | ANYTHING, "shape": ANYTHING, "data_offsets": ANYTHING}
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(some.dictionaries(some.text(max_size=9) | some.just("__metadata__"), TENSOR | ANYTHING, max_size=3))
def test_whatever_a_header_holds_it_is_read_or_refused(tmp_path, entries):
    path = write_header(tmp_path / "a.safetensors", json.dumps(entries).encode(), 4)
    try:
        assert isinstance(read_header(path).count(), int)
    except BrokenFile as refused:
        assert str(refused)


def test_file_that_was_cut_off_is_incomplete(tmp_path):
    path = write_safetensors(tmp_path / "a.safetensors", SD1)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(IncompleteFile, match="cut off"):
        read_header(path)


def test_file_with_something_behind_its_tensors_is_refused(tmp_path):
    path = write_safetensors(tmp_path / "a.safetensors", SD1)
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(BrokenFile, match="longer"):
        read_header(path)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (b"{" + b" " * 80_000_000, "no safetensors"),
        (b"{" + b",".join(b'"%06d":{"data_offsets":[0,0]}' % number for number in range(200_000)) + b"}", "tensors"),
        (b'{"a":[' + b"[]," * 1_900_000 + b"[]]}", "JSON"),
    ],
    ids=["long", "many", "lists"],
)
def test_million_tensors_are_refused_at_once(tmp_path, header, reason):
    path = write_header(tmp_path / "a.safetensors", header)
    with pytest.raises(BrokenFile, match=reason):
        read_header(path)
    assert processor_seconds(lambda: read_header(path)) < 0.05


def processor_seconds(work):
    """The least of three tries, so that what else runs on the machine does not count."""

    def seconds():
        started = time.process_time()
        with pytest.raises(BrokenFile):
            work()
        return time.process_time() - started

    return min(seconds() for _ in range(3))


def test_places_are_where_the_bytes_lie(tmp_path):
    path = write_safetensors(tmp_path / "a.safetensors", SD1)
    places = read_header(path).places
    assert max(place.stop for place in places.values()) == path.stat().st_size
    assert all(place.dtype == "F16" for place in places.values())
