"""What a picture cost, in words."""

from pathlib import Path

from pipelines.engine.jobs import Saved
from presets.requests import TextToImage
from tabs import costs

PICTURE = Saved(index=0, path=Path("house.png"), request=TextToImage(prompt="a house"))


def test_seconds_are_told_by_part_and_the_wait_and_the_memory_apart():
    timings = {"queue": 12.0, "load": 0.3, "adapters": 0.01, "denoise": 3.0, "decode": 0.1}
    assert costs.rows(PICTURE.model_copy(update={"timings": timings, "peak_memory": 1_200_000_000})) == [
        ("Seconds", "3.4 (load 0.3, denoise 3.0, decode 0.1)"),
        ("Waited", "12.0 s in the queue"),
        ("Memory", "1.2 GB at most"),
    ]


def test_of_what_is_not_known_nothing_is_told():
    assert costs.rows(PICTURE) == []
    assert costs.rows(PICTURE.model_copy(update={"timings": {"queue": 0.0, "upscale": 0.01}})) == [("Seconds", "0.0")]
