"""The safety checker: what it objects to is not saved, and whether it is on is told."""

from pathlib import Path

import pytest
import torch
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from PIL import Image
from transformers import CLIPConfig

from pipelines.engine.errors import Withheld
from pipelines.engine.jobs import Failed, Progress
from pipelines.engine.local import LocalEngine
from pipelines.engine.safety import FOLDER, SafetyChecker
from presets.errors import UserError
from presets.requests import TextToImage
from presets.settings import Settings
from tests.waiting import wait_until

HOUSE = TextToImage(prompt="a red house", seed=7, steps=2)


def save_checker(models: Path, *, objects: bool) -> None:
    """A checker of the real architecture at small size, that objects to everything or to nothing."""
    torch.manual_seed(0)
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision = {**small, "image_size": 32, "patch_size": 8}
    checker = StableDiffusionSafetyChecker(CLIPConfig(text_config=small, vision_config=vision, projection_dim=16))
    for thresholds in (checker.concept_embeds_weights, checker.special_care_embeds_weights):
        thresholds.data.fill_(-1.1 if objects else 1.1)  # of cosines
    checker.save_pretrained(models / FOLDER)


def engine_with(home: Path, **values) -> LocalEngine:
    return LocalEngine(Settings(home=home, threads=1, safety_checker=True, **values)).start()


def test_what_it_objects_to_is_refused_and_the_rest_is_not(tmp_path):
    for objects in (True, False):
        save_checker(tmp_path, objects=objects)
        checker = SafetyChecker([tmp_path / "none", tmp_path])
        if objects:
            with pytest.raises(Withheld, match="picture 3"):
                checker.check(Image.new("RGBA", (64, 48)), 3)
        else:
            checker.check(Image.new("RGB", (64, 48)), 1)


def test_jobs_whose_pictures_are_withheld_say_so_and_leave_none(tmp_path):
    save_checker(tmp_path / "models", objects=True)
    engine = engine_with(tmp_path)
    try:
        jobs = [engine.submit(HOUSE.model_copy(update={"seed": seed})) for seed in range(4)]
        events = [event for job in jobs for event in job.events()]
    finally:
        engine.close()
    assert [event.code for event in events if isinstance(event, Failed)] == ["E-SAFETY"] * 4
    assert not any(isinstance(event, Progress) and event.preview for event in events)
    assert not list((tmp_path / "pictures").rglob("*.png"))


def test_where_it_objects_to_nothing_pictures_are_saved_and_the_engine_says_that_it_is_on(tmp_path):
    save_checker(tmp_path / "models", objects=False)
    engine = engine_with(tmp_path)
    try:
        assert engine.submit(HOUSE).result()[0].path.exists()
        assert "safety checker on" in engine.status().detail
    finally:
        engine.close()


def test_without_its_weights_nothing_is_drawn_and_it_is_said_where_they_belong(tmp_path):
    engine = engine_with(tmp_path)
    try:
        wait_until(lambda: engine.status().state == "stopped")
        with pytest.raises(UserError, match="config.json and model.safetensors .* belong into .*safety_checker"):
            engine.submit(HOUSE)
    finally:
        engine.close()


def test_broken_weights_are_named(tmp_path):
    save_checker(tmp_path, objects=False)
    (tmp_path / FOLDER / "model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(UserError, match="cannot be read"):
        SafetyChecker([tmp_path])
