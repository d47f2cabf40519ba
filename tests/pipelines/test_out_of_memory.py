"""Memory that runs out while a model loads, at a step and while a picture is decoded: through the real worker."""

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.autoencoders.vae import Decoder
from PIL import Image

from pipelines.engine.jobs import Failed, Finished, Saved, Warned
from pipelines.engine.out_of_memory import is_out_of_memory, shortage
from pipelines.engine.worker import Worker
from presets.metadata import read_request
from presets.requests import TextToImage
from presets.settings import Settings
from tests.checkpoints import save_folder, tiny_sd1
from tests.shortages import CPU, CUDA, failing

RUN = {"mark": "", "hashes": {}, "warnings": [], "first": 0, "waited": 0.0, "owner": ""}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    for seed, name in enumerate(("a", "b")):
        save_folder(tiny_sd1(seed), home / "models/checkpoints" / name)
    return home


def worker_with(home, **settings):
    return Worker(Settings(home=home, device="cpu", threads=1, **settings), "pipelines.runners:RUNNERS")


@pytest.fixture(scope="module")
def worker(home):
    return worker_with(home)


def run(worker, **values):
    """The events of a job."""
    request = TextToImage(**{"prompt": "a cat", "checkpoint": "a", "steps": 2, "seed": 5} | values)
    request = request.resolved(request.checkpoint, (64, 64))
    events = []
    message = {"request": request.model_dump(mode="json"), **RUN}
    worker.run(message, events.append, lambda: False)
    return events


def of(kind, events):
    return [event for event in events if isinstance(event, kind)]


def pixels(saved):
    with Image.open(saved.path) as image:
        return np.array(image)


@pytest.mark.parametrize("error", [CUDA, CPU])
@pytest.mark.parametrize(("kind", "calls"), [(UNet2DConditionModel, {1}), (Decoder, {0, 1})])
def test_what_does_not_fit_is_drawn_again_with_others_unloaded_and_said_so(worker, kind, calls, error):
    (expected,) = of(Saved, run(worker))
    run(worker, checkpoint="b")
    with failing(kind, error, calls):
        events = run(worker)
    (saved,), (warned,) = of(Saved, events), of(Warned, events)
    assert "trying again with nothing else in memory" in warned.message and "GiB more were needed" in warned.message
    assert saved.warnings == (warned.message,) == tuple(read_request(saved.path).record["warnings"])
    assert np.array_equal(pixels(saved), pixels(expected))
    assert [resident.name for resident in worker.memory().residents] == ["a"]


@pytest.mark.parametrize("kind", [UNet2DConditionModel, Decoder])
def test_what_never_fits_fails_with_the_figures_and_the_next_job_draws_the_same(worker, kind):
    (expected,) = of(Saved, run(worker))
    with failing(kind, CPU, range(100)):
        failed = run(worker)[-1]
    assert isinstance(failed, Failed) and failed.code == "E-MEMORY"
    assert "4.0 GiB more were needed" in failed.message and "were free" in failed.message
    assert len(failed.message) <= 300
    (saved,) = of(Saved, run(worker))
    assert np.array_equal(pixels(saved), pixels(expected)) and saved.warnings == ()


def test_pictures_that_were_saved_are_not_drawn_again(worker):
    run(worker, checkpoint="b")
    with failing(UNet2DConditionModel, CPU, {3}) as calls:
        events = run(worker, count=3)
    assert isinstance(events[-1], Finished)
    assert [saved.index for saved in of(Saved, events)] == [0, 1, 2]
    assert [saved.request.seed for saved in of(Saved, events)] == [5, 6, 7]
    assert len(calls) == 2 + 2 + 4


def test_a_model_that_does_not_fit_beside_others_is_loaded_without_them(worker, monkeypatch):
    (expected,) = of(Saved, run(worker))
    worker.obey({"do": "unload", "model": "a"}, lambda _: None, lambda: False)
    run(worker, checkpoint="b")
    real, failures = torch.frombuffer, [CPU]
    monkeypatch.setattr(torch, "frombuffer", lambda *a, **k: _raise(failures.pop()) if failures else real(*a, **k))
    events = run(worker)
    assert np.array_equal(pixels(of(Saved, events)[0]), pixels(expected))
    assert [resident.name for resident in worker.memory().residents] == ["a"]


def _raise(error):
    raise error


def test_a_load_by_command_that_does_not_fit_is_told_with_the_figures(worker, monkeypatch):
    worker.obey({"do": "unload", "model": "a"}, lambda _: None, lambda: False)
    monkeypatch.setattr(torch, "frombuffer", lambda *_, **__: _raise(CPU))
    notice = worker.obey({"do": "load", "model": "a"}, lambda _: None, lambda: False)
    assert "4.0 GiB more were needed" in notice and "[E-MEMORY]" in notice
    monkeypatch.undo()
    assert worker.obey({"do": "load", "model": "a"}, lambda _: None, lambda: False) == ""


def test_a_picture_that_cannot_be_decoded_at_once_is_decoded_in_tiles_and_said_so(worker, home):
    (whole,) = of(Saved, run(worker))
    with failing(Decoder, CUDA, {0}):
        (tiled,) = of(Saved, run(worker))
    (always,) = of(Saved, run(worker_with(home, vae_tiling="always")))
    assert "in tiles" in tiled.warnings[0] and always.warnings == ()
    assert np.array_equal(pixels(tiled), pixels(always)) and not np.array_equal(pixels(tiled), pixels(whole))
    assert read_request(always.path).record["vae_tiling"] is True
    (again,) = of(Saved, run(worker))
    assert np.array_equal(pixels(again), pixels(whole))


def test_errors_of_memory_are_told_from_others():
    assert all(map(is_out_of_memory, (CUDA, CPU, MemoryError(), OSError(12, "Cannot allocate memory"))))
    assert not any(map(is_out_of_memory, (RuntimeError("shapes differ"), OSError(2, "no file"), ValueError("memory"))))
    assert (shortage(CUDA, "cpu").needed, shortage(CPU, "cpu").needed) == (2.5 * 2**30, 2**32)
    assert shortage(MemoryError(), "cuda").needed is None
