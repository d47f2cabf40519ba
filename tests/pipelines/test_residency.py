"""Commands about models, and what the engine tells of the memory: on the real worker with the starter."""

import hashlib
import os
import shutil
import signal

import pytest
from PIL import Image

from pipelines.engine.errors import ModelNotFound
from pipelines.engine.jobs import Finished, ModelInfo, Progress
from pipelines.engine.local import LocalEngine
from pipelines.engine.residency import Command, Residency
from presets.metadata import read_request
from presets.requests import TextToImage
from presets.settings import Settings
from tests.checkpoints import save_folder, save_single_file, tiny_sd1
from tests.loras import of_sd1, save_lora
from tests.waiting import wait_until, workers

HOUSE = TextToImage(prompt="a red house", seed=7, steps=2)
INFO = ModelInfo(name="storybook", family="SD 1.x", native_size=(128, 128), size_bytes=1)


@pytest.fixture(scope="module")
def checkpoints(settings):
    """Folder of checkpoints: beside the starter a folder and a single file, with different weights."""
    folder = settings.model_roots[0] / "checkpoints"
    save_folder(tiny_sd1(), folder / "tiny")
    save_single_file(tiny_sd1(seed=1), folder / "one.safetensors")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def engine(real_engine, checkpoints):  # noqa: ARG001
    real_engine.submit(HOUSE).result()
    return real_engine


def info(engine, name="storybook"):
    return next(model for model in engine.models() if model.name == name)


def residence(engine, name):
    return info(engine, name).residence


def test_the_budget_is_told_before_anything_is_drawn(tmp_path):
    engine = LocalEngine(Settings(home=tmp_path, threads=1, in_process=True)).start()
    try:
        wait_until(lambda: engine.status().state == "ready")
        (tier,) = engine.memory().tiers
    finally:
        engine.close()
    assert tier.used_bytes == 0 < tier.budget_bytes


def test_a_drawn_checkpoint_is_told_to_be_in_memory_when_its_job_ends(engine):
    engine.submit(HOUSE).result()
    (tier,) = engine.memory().tiers
    assert info(engine).residence == "ram"
    assert info(engine).switch_seconds is not None
    assert 0 < sum(resident.bytes for resident in engine.memory().residents) <= tier.used_bytes <= tier.budget_bytes


def test_a_checkpoint_is_loaded_kept_and_unloaded_by_command(engine):
    engine.load("tiny")
    wait_until(lambda: residence(engine, "tiny") == "ram")
    engine.keep("tiny", True)
    wait_until(lambda: any(resident.kept for resident in engine.memory().residents))
    engine.unload("tiny")
    assert not info(engine, "tiny").kept
    wait_until(lambda: residence(engine, "tiny") == "disk")
    assert engine.status().notice == ""


def test_commands_wait_for_the_running_job_and_the_job_does_not_notice(engine):
    job = engine.submit(HOUSE.model_copy(update={"steps": 40}))
    wait_until(lambda: any(isinstance(event, Progress) for event in job._events))
    engine.unload("storybook")
    assert isinstance(list(job.events())[-1], Finished)
    wait_until(lambda: residence(engine, "storybook") == "disk")


def test_an_unknown_name_is_refused_at_once(engine):
    for command in (engine.load, engine.unload, lambda name: engine.keep(name, True)):
        with pytest.raises(ModelNotFound, match="storybook"):
            command("storybok")
    engine.read_ahead("storybok")


def test_a_load_that_fails_is_told_and_the_others_stay(engine, checkpoints):
    broken = shutil.copytree(checkpoints / "tiny", checkpoints / "broken")
    config = broken / "unet" / "config.json"
    config.write_text(config.read_text().replace('"cross_attention_dim": 64', '"cross_attention_dim": 32'))
    engine.submit(HOUSE).result()
    engine.load("broken")
    wait_until(lambda: "E-MODEL-CORRUPT" in engine.status().notice)
    assert residence(engine, "storybook") == "ram"
    assert engine.submit(HOUSE).result()


def test_reading_ahead_says_nothing_and_the_next_job_works(engine):
    engine.read_ahead("tiny")
    engine.read_ahead("")
    assert engine.submit(HOUSE).result()


def test_a_new_worker_has_nothing_loaded_and_is_told_what_to_keep(engine):
    engine.keep("storybook", True)
    engine.submit(HOUSE).result()
    for process in workers():
        os.kill(process.pid, signal.SIGKILL)
    wait_until(lambda: not engine.memory().residents)
    engine.submit(HOUSE).result()
    wait_until(lambda: any(resident.kept for resident in engine.memory().residents))
    engine.keep("storybook", False)


def test_a_picture_carries_the_hashes_of_its_files_once_they_are_known(engine, checkpoints):
    path = save_lora(checkpoints.parent, "ink", of_sd1(tiny_sd1()))
    content = path.read_bytes()
    weights = hashlib.sha256(content[8 + int.from_bytes(content[:8], "little") :]).hexdigest()
    wait_until(lambda: [lora.hashes for lora in engine.loras() if lora.name == "ink"][0][:1] == (weights,))
    expected = hashlib.sha256((checkpoints / "one.safetensors").read_bytes()).hexdigest()
    wait_until(lambda: info(engine, "one").sha256 == expected)
    asked = TextToImage(prompt="<lora:ink:0.5>", checkpoint="one", steps=1, width=64, height=64)
    (saved,) = engine.submit(asked).result()
    path.unlink()
    with Image.open(saved.path) as picture:
        assert f"Model hash: {expected[:10]}, Model: one" in picture.info["parameters"]
        assert f'Lora hashes: "ink: {weights[:12]}"' in picture.info["parameters"]
    assert read_request(saved.path).record["hashes"] == {"checkpoint": expected, "lora:ink": weights}


def test_equal_commands_wait_once_and_loads_that_wait_can_be_dropped():
    residency = Residency()
    for name in ("a", "b", "b"):
        residency.ask(Command("load", name))
    going_on = residency.next()
    assert residency.stop_loading() == going_on.identifier
    residency.ended("a was not loaded: it was stopped.")
    assert (residency.next(), residency.is_busy, residency.loading) == (None, False, None)


def test_the_last_wish_about_a_model_is_carried_out_last():
    residency = Residency()
    for keep in (True, False, True):
        residency.ask(Command("keep", "storybook", keep=keep))
    assert [residency.next().keep for _ in range(2)] == [False, True]
    assert residency.next() is None and residency.is_kept("storybook")


def test_what_the_worker_refuses_to_keep_is_not_kept():
    residency = Residency()
    residency.ask(Command("keep", "storybook", keep=True))
    assert residency.described(INFO).kept
    residency.next()
    residency.ended("No.")
    assert not residency.described(INFO).kept
    assert residency.notice == "No."


def test_a_load_during_which_the_worker_ends_is_told():
    residency = Residency()
    residency.ask(Command("load", "storybook"))
    residency.next()
    residency.worker_died()
    assert "storybook was not loaded" in residency.notice
    assert residency.loading is None
