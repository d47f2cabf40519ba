import signal

import pytest
import torch
from safetensors.torch import save_file

from pipelines.engine.headers import BrokenFile
from pipelines.engine.weight_files import WINDOW, WeightFiles, read_ahead
from pipelines.engine.weights import CHUNK


@pytest.fixture
def computing_threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def filled(path, prepare=lambda tensors: tensors, tell=lambda _filled: None):
    """What a file's tensors, after `prepare`, are when they were read in float32."""
    with WeightFiles((path,)) as files:
        sources = prepare(files.tensors)
        targets = {name: torch.empty(source.shape) for name, source in sources.items()}
        files.fill(targets, sources, tell)
    return targets


@pytest.mark.parametrize("threads", [1, 3])
def test_files_are_read_as_they_are_whatever_the_threads(tmp_path, threads, computing_threads):
    computing_threads(threads)
    sizes = {"c": (700, 900), "a": (3,), "b": (0, 4), "d": (), "e": (64, 32, 3, 3)}
    tensors = {name: torch.randn(size).half() for name, size in sizes.items()}
    save_file(tensors, tmp_path / "a.safetensors")
    read = filled(tmp_path / "a.safetensors")
    assert all(read[name].equal(tensor.float()) for name, tensor in tensors.items())
    assert torch.get_num_threads() == threads


def test_a_file_whose_numbers_begin_anywhere_is_mapped_and_not_copied(tmp_path):
    path = tmp_path / "a.safetensors"
    tensors = {name: torch.randn(300).half() for name in "ab"}
    save_file(tensors, path)
    length, content = int.from_bytes(path.read_bytes()[:8], "little"), path.read_bytes()[8:]
    padded = content[:length] + b" " + content[length:]
    path.write_bytes((length + 1).to_bytes(8, "little") + padded)
    with WeightFiles((path,)) as files:
        places = [files.tensors[name].data_ptr() for name in "ab"]
    assert places[0] % 2 == 1 and places[1] == places[0] + 600
    read = filled(path)
    assert all(read[name].equal(tensor.float()) for name, tensor in tensors.items())


def test_views_of_tensors_are_read_too(tmp_path):
    tensor = torch.randn(600, 900)
    save_file({"a": tensor}, tmp_path / "a.safetensors")
    read = filled(tmp_path / "a.safetensors", lambda tensors: {"t": tensors["a"].T, "half": tensors["a"][300:]})
    assert read["t"].equal(tensor.T) and read["half"].equal(tensor[300:])


def test_all_bytes_are_told_and_reading_can_be_stopped(tmp_path):
    save_file({"a": torch.zeros(3 * CHUNK), "b": torch.zeros(5)}, tmp_path / "a.safetensors")
    told = []
    filled(tmp_path / "a.safetensors", tell=told.append)
    assert max(told) == 4 * (3 * CHUNK + 5)
    with pytest.raises(KeyboardInterrupt):
        filled(tmp_path / "a.safetensors", tell=lambda _filled: signal.raise_signal(signal.SIGINT))


@pytest.mark.parametrize("length", [100, 10_000])
@pytest.mark.parametrize("view", [lambda tensor: tensor, lambda tensor: tensor.view(20, 25).T])
def test_file_that_changes_while_it_is_read_is_broken(tmp_path, length, view):
    path = tmp_path / "a.safetensors"
    save_file({name: torch.zeros(500) for name in "abc"}, path)

    def truncate(tensors):
        with path.open("r+b") as file:
            file.truncate(length)
        return {name: view(tensor) for name, tensor in tensors.items()}

    with pytest.raises(BrokenFile, match="changed while it was read"):
        filled(path, truncate)


def test_reading_ahead_changes_nothing(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"abc" * 1000)
    read_ahead(path, lambda: False, 60.0)
    assert path.read_bytes() == b"abc" * 1000
    with pytest.raises(OSError):
        read_ahead(tmp_path / "none", lambda: False, 60.0)


def test_reading_ahead_rests_while_something_is_drawn_and_no_longer(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(bytes(3 * WINDOW))
    asked = []

    def is_busy():
        asked.append(len(asked))
        return len(asked) < 2

    read_ahead(path, is_busy, 0.01)
    assert len(asked) >= 3
