"""The upscaler that ships is worth it, and its recipe runs at its smallest."""

import argparse

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

from pipelines.engine.catalog import EXTRAS
from training.evaluate_upscaler import evaluate_upscaler, open_upscaler, psnr
from training.make_upscaler import make_upscaler
from training.upscaling import SMALLEST, Scenes

SHIPPED = EXTRAS / "upscalers" / "storybook-x2.safetensors"


def test_what_ships_is_two_decibels_ahead_of_lanczos_on_scenes_it_has_not_seen():
    for measured in evaluate_upscaler(SHIPPED, range(20_000_000, 20_000_006)).values():
        assert measured["ahead"] >= 2


def test_what_ships_is_small_and_says_what_it_is():
    model = open_upscaler(SHIPPED)
    assert (model.architecture.name, model.scale, model.input_channels) == ("RealESRGAN Compact", 2, 3)
    assert SHIPPED.stat().st_size < 2 * 2**20
    with safe_open(SHIPPED, "pt") as file:
        assert file.metadata()["modelspec.license"] == "Apache-2.0"


def test_the_recipe_makes_a_file_that_spandrel_reads_and_goes_on_where_it_was(tmp_path):
    options = argparse.Namespace(run=tmp_path / "run", output=tmp_path)
    file = make_upscaler(SMALLEST, options)
    assert open_upscaler(file).scale == 2
    before, again = load_file(file), load_file(make_upscaler(SMALLEST, options))
    assert all(torch.equal(before[name], again[name]) for name in before)


def test_small_and_large_crops_show_the_same():
    small, large = Scenes(SMALLEST).batch()
    assert small.shape == (2, 3, 40, 40) and large.shape == (2, 3, 80, 80)
    assert (large.unflatten(2, (40, 2)).unflatten(4, (40, 2)).mean(dim=(3, 5)) - small).abs().mean() < 0.03


def test_psnr_is_that_of_the_definition():
    black, grey = Image.new("RGB", (4, 4)), Image.new("RGB", (4, 4), (51, 51, 51))
    assert psnr(black, grey) == pytest.approx(13.98, abs=0.01)
