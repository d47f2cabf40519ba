import numpy as np
import pytest
from PIL import Image

from pipelines.resizing import RESIZED, cropped, filled

HALVES = Image.fromarray(np.repeat(np.array([[[255, 0, 0]] * 20 + [[0, 0, 255]] * 20], np.uint8), 20, axis=0))
"""40 x 20: left red, right blue."""


@pytest.mark.parametrize("mode", RESIZED)
def test_what_has_the_size_already_is_unchanged(mode):
    assert np.array_equal(np.asarray(RESIZED[mode](HALVES, HALVES.size)), np.asarray(HALVES))


@pytest.mark.parametrize("mode", RESIZED)
@pytest.mark.parametrize("size", [(16, 64), (64, 16), (33, 31)])
def test_every_mode_gives_the_size(mode, size):
    assert RESIZED[mode](HALVES, size).size == size


def test_cropping_keeps_the_middle_and_the_shape():
    assert np.asarray(cropped(HALVES, (10, 20)))[:, 0].tolist() == [[255, 0, 0]] * 20


def test_filling_goes_on_with_the_colours_of_the_edges():
    pixels = np.asarray(filled(HALVES, (40, 60)))
    assert pixels[0, 0].tolist() == pixels[59, 0].tolist() == [255, 0, 0]
    assert pixels[0, 39].tolist() == [0, 0, 255]
