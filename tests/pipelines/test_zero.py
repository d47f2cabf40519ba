"""For how long a GPU is asked for, and where none is. `tests/test_zero_gpu.py` has the whole."""

import pytest

from pipelines.engine.costs import Costs
from pipelines.engine.zero import guessed_seconds, lender_of, seconds_to_lend
from presets.requests import TextToImage
from presets.settings import SettingRefused, Settings

SDXL = TextToImage(prompt="", checkpoint="xl", width=1024, height=1024, steps=30)


@pytest.mark.parametrize(
    ("drawing", "size_bytes", "seconds"),
    [
        (0.0, 0, 15),
        (guessed_seconds(SDXL), 6_940_000_000, 53),
        (4.0, 6_940_000_000, 35),
        (200.0, 0, 120),
    ],
)
def test_a_gpu_is_asked_for_as_long_as_beginning_loading_and_drawing_take(
    drawing: float, size_bytes: int, seconds: int
):
    assert seconds_to_lend(drawing, size_bytes, 120) == seconds


def test_what_jobs_took_without_loading_takes_the_place_of_the_guess():
    costs = Costs(guessed_seconds)
    assert costs.expected(SDXL) == pytest.approx(15.7, abs=0.1)
    costs.learn(SDXL, seconds=24.0, loading=20.0)
    assert costs.expected(SDXL) == pytest.approx(4.0)


def test_elsewhere_than_on_zerogpu_nothing_is_lent(tmp_path, monkeypatch):
    monkeypatch.delenv("SPACES_ZERO_GPU", raising=False)
    assert lender_of(Settings(home=tmp_path)) is None
    with pytest.raises(SettingRefused, match="SPACES_ZERO_GPU"):
        lender_of(Settings(home=tmp_path, zero_gpu=True))
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    assert lender_of(Settings(home=tmp_path, device="cpu")) is None
