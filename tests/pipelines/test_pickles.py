"""Pickled checkpoints: read as tables of tensors, never unpickled."""

import io
import os
import pickle
import zipfile
from collections import OrderedDict

import numpy
import pytest
import torch

from pipelines.engine.catalog import Catalog
from pipelines.engine.errors import ModelCorrupt, ModelUnsafe
from pipelines.engine.headers import BrokenFile
from pipelines.engine.pickles import UnsafeFile, follow, read_pickled
from tests.payloads import zip_bombs

SD1 = {
    "model.diffusion_model.input_blocks.0.0.weight": torch.arange(8 * 4 * 9).reshape(8, 4, 3, 3).half(),
    "first_stage_model.decoder.conv_in.weight": torch.ones(8, 4, 3, 3),
    "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight": torch.ones(8, 768),
}


class Runs:
    """Runs a command when it is unpickled."""

    def __init__(self, command="touch ran"):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.fixture
def path(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints/old.ckpt"


def find(path):
    return Catalog((path.parents[1],), path.parents[1] / "none").find("old")


def bytes_at(path, place):
    return path.read_bytes()[place.start : place.stop]


@pytest.mark.parametrize("kept_in", [lambda state: state, lambda state: {"state_dict": state, "epoch": 7}])
def test_checkpoint_is_recognised_and_its_numbers_are_where_the_table_says(path, kept_in):
    torch.save(kept_in(OrderedDict(SD1)), path)
    header = read_pickled(path)
    assert dict(header.shapes) == {name: tuple(tensor.shape) for name, tensor in SD1.items()}
    for name, tensor in SD1.items():
        assert bytes_at(path, header.places[name]) == tensor.numpy().tobytes()
    assert (find(path).family, find(path).layout) == ("sd1", "single-file")


def test_parameters_views_and_what_training_leaves_are_read(path):
    both = torch.arange(6.0)
    training = {"loss": numpy.float64(0.5), "callbacks": {None: [1, (2, 3, 4, 5)]}, "names": ["a"], "on": True}
    torch.save({"state_dict": {"a": both[2:5], "b": torch.nn.Parameter(torch.ones(2, 1))}, **training}, path)
    header = read_pickled(path)
    assert numpy.frombuffer(bytes_at(path, header.places["a"]), "f4").tolist() == [2, 3, 4]
    assert header.shapes == {"a": (3,), "b": (2, 1)}


@pytest.mark.parametrize("wrapped", [lambda code: code, lambda code: {**SD1, "x": code}, lambda code: [[{"a": code}]]])
def test_file_that_would_run_code_is_refused_with_its_name_and_nothing_runs(path, wrapped, monkeypatch):
    monkeypatch.chdir(path.parent)
    torch.save(wrapped(Runs()), path)
    with pytest.raises(ModelUnsafe, match=r"it contains code \(posix.system\)") as caught:
        find(path)
    assert caught.value.code == "E-MODEL-UNSAFE"
    assert "weights_only" not in caught.value.message
    assert not (path.parent / "ran").exists()


@pytest.mark.parametrize("protocol", range(5))
def test_bare_pickle_that_would_run_code_is_named_too(path, protocol, monkeypatch):
    monkeypatch.chdir(path.parent)
    path.write_bytes(pickle.dumps(Runs(), protocol))
    with pytest.raises(ModelUnsafe, match="posix.system"):
        find(path)
    assert not (path.parent / "ran").exists()


def test_refused_file_is_among_the_problems(path):
    torch.save(Runs(), path)
    (problem,) = Catalog((path.parents[1],), path.parents[1]).problems()[1:] or [None]
    assert problem.path == path and "posix.system" in problem.sentence


def test_oldest_format_is_refused(path):
    torch.save(SD1, path, _use_new_zipfile_serialization=False)
    with pytest.raises(ModelUnsafe, match="oldest format; convert"):
        find(path)


def rewritten(path, change, **options):
    """The zip file `path` with its members as `change` gives them."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in change(members).items():
            archive.writestr(name, content)


def test_compressed_members_are_refused_unread(path):
    torch.save(SD1, path)
    rewritten(path, lambda members: members | {"old/data/0": b"\0" * 10**6}, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ModelUnsafe, match="compressed"):
        find(path)


def test_data_that_is_shorter_than_its_tensor_is_corrupt(path):
    torch.save(SD1, path)
    rewritten(path, lambda members: members | {"old/data/0": b"\0" * 10})
    with pytest.raises(ModelCorrupt, match="outside of its data"):
        find(path)


@pytest.mark.parametrize("length", [0, 3, 100, -30, -1])
def test_file_that_was_cut_off_is_corrupt(path, length):
    torch.save(SD1, path)
    path.write_bytes(path.read_bytes()[:length])
    os.utime(path, (1, 1))
    with pytest.raises(ModelCorrupt, match="cut off|no PyTorch file"):
        find(path)


def test_other_zips_are_no_checkpoints(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("word/document.xml", "<html>")
    with pytest.raises(ModelCorrupt, match="without tensors"):
        find(path)


def test_table_of_a_million_members_is_not_read(path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("old/data.pkl", b".")
    content = buffer.getvalue()
    end = content.rindex(b"PK\x05\x06")
    path.write_bytes(content[: end + 12] + (2**31).to_bytes(4, "little") + content[end + 16 :])
    with pytest.raises(ModelCorrupt, match="more files"):
        find(path)


@pytest.mark.parametrize(
    "program",
    [
        b"", b".", b"N", b"0.", b"u.", b"]" * 9, b"(((((.", b"\x80\x02}q\x00h\x05.", b"}(K\x01.", b"K\x01Q.",
        b"cos\nsystem\n", b"\x8a\xff" + b"\xff" * 255, b"I" + b"9" * 5000 + b"\n.", b"t", b"a", b"s", b"\x93",
    ],
)  # fmt: skip
def test_whatever_a_program_holds_it_is_followed_or_refused(program):
    try:
        follow(program)
    except (BrokenFile, UnsafeFile) as refused:
        assert str(refused)


def test_keys_that_take_long_to_hash_are_not_hashed():
    nested = b"K\x01" + b"q\x00h\x00\x86" * 200
    assert follow(b"}" + nested + b"K\x02s.") == {}


LAUGHS = b")q\x00" + b"".join(b"h%ch%c\x86q%c" % (n, n, n + 1) for n in range(60)) + b"h\x3ch\x3c\x93."
DEEP = b")" + b"\x85" * 50_000 + b"\x8c\x01a\x93."


@pytest.mark.parametrize("program", [LAUGHS, DEEP], ids=["laughs", "deep"])
def test_names_that_are_no_texts_are_not_written_out(program):
    with pytest.raises(BrokenFile, match="no text"):
        follow(program)


def test_calls_with_very_many_arguments_are_refused_at_the_first():
    many = b"(" + b"K\x01" * 60_000 + b"tq\x00"
    with pytest.raises(BrokenFile, match="wrongly"):
        follow(b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nq\x01" + many + b"h\x01h\x00R.")


def test_table_of_contents_with_very_many_entries_is_not_read(path):
    path.write_bytes(zip_bombs()["many-members"]())
    with pytest.raises(ModelCorrupt, match="more files"):
        find(path)
