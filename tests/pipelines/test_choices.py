"""What the settings choose reaches the picture, and its metadata says so."""

import numpy as np
import pytest
from PIL import Image

from pipelines.engine.jobs import Saved
from pipelines.engine.worker import Worker
from presets.metadata import read_request
from presets.requests import TextToImage
from presets.settings import Settings
from tests.checkpoints import save_folder, tiny_sd1

REQUEST = TextToImage(prompt="a cat", steps=2, seed=5).resolved("tiny", (64, 64))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    save_folder(tiny_sd1(), home / "models/checkpoints/tiny")
    return home


def drawn(home, **settings):
    """Pixels and record of a picture under these settings."""
    worker = Worker(Settings(home=home, device="cpu", threads=1, **settings), "pipelines.runners:RUNNERS")
    events = []
    message = {
        "request": REQUEST.model_dump(mode="json"),
        "mark": "",
        "hashes": {},
        "warnings": [],
        "first": 0,
        "owner": "",
        "waited": 0.0,
    }
    worker.run(message, events.append, lambda: False)
    (saved,) = (event for event in events if isinstance(event, Saved))
    with Image.open(saved.path) as image:
        return np.array(image, dtype=float), read_request(saved.path).record


@pytest.fixture(scope="module")
def usual(home):
    return drawn(home)


def test_without_choices_the_record_says_what_was_used(usual):
    record = usual[1]
    expected = {
        "attention": "sdpa",
        "weight_storage": "full",
        "offload": "none",
        "vae_tiling": False,
        "compiled": False,
    }
    assert expected.items() <= record.items()


@pytest.mark.parametrize(
    ("choice", "difference"),
    [({"attention": "sliced"}, 1), ({"weight_storage": "float8"}, 30), ({"vae_tiling": "always"}, 60)],
)
def test_a_choice_is_recorded_and_draws_much_the_same_picture(home, usual, choice, difference):
    picture, record = drawn(home, **choice)
    (entry,) = choice.items()
    assert record[entry[0]] == (True if entry[0] == "vae_tiling" else entry[1])
    assert np.abs(picture - usual[0]).mean() < difference
