import hashlib
import json
import threading

import pytest

from pipelines.engine.hashes import Hashes
from pipelines.engine.model import Model
from tests.waiting import wait_until


def model(path, layout="single-file"):
    return Model(path.stem, "sd1", path, layout, (512, 512), 1, "epsilon", 1, "x")


@pytest.fixture
def one(tmp_path):
    path = tmp_path / "one.safetensors"
    path.write_bytes(b"weights" * 1000)
    return model(path)


@pytest.fixture
def hashes_of(tmp_path):
    """Makes a started `Hashes` of the given models, which ends with the test."""
    made = []

    def make(*models, is_idle=lambda: True):
        hashes = Hashes(tmp_path / "hashes.json", lambda: models, is_idle)
        made.append(hashes)
        hashes.start()
        hashes.look_again()
        return hashes

    yield make
    for hashes in made:
        hashes.close()


def sha256(model):
    return hashlib.sha256(model.path.read_bytes()).hexdigest()


def is_written(folder, model):
    file = folder / "hashes.json"
    return file.exists() and sha256(model) in file.read_text()


def test_a_file_is_hashed_in_the_background(hashes_of, one):
    hashes = hashes_of(one)
    wait_until(lambda: hashes.of(one) == sha256(one))
    assert hashes.of_checkpoint("one") == sha256(one)


def test_nothing_is_read_while_something_better_is_done(hashes_of, one):
    idle = threading.Event()
    asked = threading.Semaphore(0)
    hashes = hashes_of(one, is_idle=lambda: asked.release() or idle.is_set())
    assert asked.acquire(timeout=10) and asked.acquire(timeout=10)
    assert hashes.of(one) == ""
    idle.set()
    wait_until(lambda: hashes.of(one))


def test_a_hash_is_remembered_by_the_next_run(hashes_of, one, tmp_path):
    hashes_of(one)
    wait_until(lambda: is_written(tmp_path, one))
    later = hashes_of(one, is_idle=lambda: False)
    wait_until(lambda: later.of(one) == sha256(one))


def test_a_changed_file_has_no_hash_until_it_is_read_again(hashes_of, one):
    hashes = hashes_of(one)
    wait_until(lambda: hashes.of(one))
    one.path.write_bytes(b"other")
    assert hashes.of(one) == ""
    hashes.look_again()
    wait_until(lambda: hashes.of(one) == sha256(one))


@pytest.mark.parametrize("content", ["", "{", "[]", "9" * 5000, "[" * 100_000, '{"one": [1, 2], "two": 3}'])
def test_a_damaged_memory_is_made_anew(hashes_of, one, tmp_path, content):
    (tmp_path / "hashes.json").write_text(content)
    hashes = hashes_of(one)
    wait_until(lambda: is_written(tmp_path, one))
    assert json.loads((tmp_path / "hashes.json").read_text())[str(one.path)][2] == hashes.of(one) == sha256(one)


def test_what_another_process_remembered_stays(hashes_of, one, tmp_path):
    written = threading.Event()
    hashes = hashes_of(one, is_idle=written.is_set)
    row = {"/elsewhere.safetensors": [1, 2, "a" * 64]}
    (tmp_path / "hashes.json").write_text(json.dumps(row))
    written.set()
    wait_until(lambda: hashes.of(one))
    assert row.items() <= json.loads((tmp_path / "hashes.json").read_text()).items()


def test_folders_with_equal_weights_have_equal_hashes(hashes_of, tmp_path):
    folders = [model(tmp_path / name, "folder") for name in ("a", "b", "c")]
    for folder, content in zip(folders, (b"same", b"same", b"other"), strict=True):
        (folder.path / "unet").mkdir(parents=True)
        (folder.path / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(content)
    hashes = hashes_of(*folders)
    wait_until(lambda: all(hashes.of(folder) for folder in folders))
    first, second, third = (hashes.of(folder) for folder in folders)
    assert first == second != third
    assert hashes.of_checkpoint("a") == ""


def test_a_file_that_vanished_has_no_hash_and_the_others_get_theirs(hashes_of, one, tmp_path):
    hashes = hashes_of(model(tmp_path / "gone.safetensors"), one)
    wait_until(lambda: hashes.of(one))
    assert hashes.of(model(tmp_path / "gone.safetensors")) == ""


def test_of_a_lora_what_follows_its_header_is_hashed_too_and_remembered(tmp_path):
    path, weights = tmp_path / "ink.safetensors", b"weights" * 1000
    path.write_bytes((20).to_bytes(8, "little") + b"{" + b" " * 18 + b"}" + weights)
    whole = hashlib.sha256(path.read_bytes()).hexdigest()
    state = path.stat()
    memory = tmp_path / "hashes.json"  # of when only whole files were hashed
    memory.write_text(json.dumps({str(path): [state.st_mtime_ns, state.st_size, whole]}))
    hashes = Hashes(memory, list, lambda: True, lambda: {"ink": path})
    hashes.start()
    hashes.look_again()
    wait_until(lambda: hashes.of_lora("ink"))
    hashes.close()
    assert hashes.of_lora("ink") == (hashlib.sha256(weights).hexdigest(), whole)
    assert hashes.of_lora("wool") == ()
    assert json.loads(memory.read_text())[str(path)][2:] == [whole, hashlib.sha256(weights).hexdigest()]
