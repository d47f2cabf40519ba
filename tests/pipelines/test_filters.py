"""Preprocessors without weights on a painted house: each shows what it says."""

import numpy as np
import pytest

from pipelines.filters import FILTERS
from presets.preprocessors import PREPROCESSORS, PreprocessSettings
from tests.scenes import house, near, outline

SCENE = np.asarray(house())
FLAT = np.full((48, 64, 3), 90, np.uint8)


def made(name, image=SCENE, **values):
    return FILTERS[name](image, PreprocessSettings(preprocessor=name, **values))


def is_grey(image):
    return bool((image == image[:, :, :1]).all())


def test_every_preprocessor_without_weights_is_a_filter():
    assert set(FILTERS) == {name for name, row in PREPROCESSORS.items() if row.weights is None}


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("size", [(128, 128), (33, 17), (16, 320)])
def test_every_filter_keeps_the_size_and_leaves_what_it_was_given(name, size):
    image = np.asarray(house().resize(size))
    before = image.copy()
    result = made(name, image)
    assert (result.shape, result.dtype) == (image.shape, np.uint8)
    assert np.array_equal(image, before)


@pytest.mark.parametrize("name", FILTERS)
def test_every_filter_gives_the_same_pixels_again(name):
    assert np.array_equal(made(name), made(name))


@pytest.mark.parametrize("name", ["canny", "softedge", "scribble"])
def test_edges_lie_where_the_outline_of_the_house_is(name):
    edges = made(name)[:, :, 0] > 100
    assert near(edges, 2)[outline()].mean() > 0.9
    assert edges[near(outline(), 3)].mean() > 5 * edges[~near(outline(), 3)].mean()


def test_line_art_is_bright_on_the_dark_outline_of_the_house():
    lines = made("lineart")[:, :, 0].astype(float)
    assert lines[outline()].mean() > 10 * lines[~near(outline(), 8)].mean()


@pytest.mark.parametrize("name", ["canny", "softedge", "scribble", "lineart"])
def test_a_picture_of_one_colour_has_no_edges(name):
    assert made(name, FLAT).max() == 0


@pytest.mark.parametrize("name", ["canny", "scribble", "threshold"])
def test_drawings_are_black_and_white(name):
    assert set(np.unique(made(name))) == {0, 255}


def test_higher_thresholds_draw_fewer_edges_and_strokes():
    few, many = (made("canny", low_threshold=low, high_threshold=high).mean() for low, high in ((200, 250), (20, 60)))
    assert few < many
    assert made("scribble", scribble_threshold=60).mean() < made("scribble", scribble_threshold=8).mean()


def test_the_threshold_parts_light_from_dark():
    shades = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    assert made("threshold", shades, threshold=100)[0, :, 0].tolist() == [0] * 100 + [255] * 156


def test_inverted_twice_the_picture_is_as_it_was():
    assert np.array_equal(made("invert", made("invert")), SCENE)
    assert not np.array_equal(made("invert"), SCENE)


@pytest.mark.parametrize(("name", "values"), [("tile", {"downscale": 8}), ("blur", {"blur_radius": 4})])
def test_tile_and_blur_keep_the_mean_colour_and_lose_detail(name, values):
    softened = made(name, **values)
    assert np.abs(softened.mean(axis=(0, 1)) - SCENE.mean(axis=(0, 1))).max() < 1.5
    assert np.abs(np.diff(softened.astype(int), axis=1)).max() < np.abs(np.diff(SCENE.astype(int), axis=1)).max() / 2


def test_a_tile_that_loses_no_detail_is_the_picture():
    assert np.array_equal(made("tile", downscale=1), SCENE)


def test_shuffle_moves_the_colours_and_follows_its_seed():
    first, other = made("shuffle", shuffle_seed=2**40 + 1), made("shuffle", shuffle_seed=1)
    assert not np.array_equal(first, other)
    assert np.abs(first.mean(axis=(0, 1)) - SCENE.mean(axis=(0, 1))).max() < 60
    assert np.abs(first.astype(int) - SCENE).mean() > 20


def test_recolouring_starts_from_grey_that_gamma_brightens():
    for name in ("recolor-luminance", "recolor-intensity"):
        plain, light = made(name), made(name, gamma=0.5)
        assert is_grey(plain) and (light >= plain).all() and light.mean() > plain.mean() + 10
    assert np.array_equal(made("recolor-intensity")[:, :, 0], SCENE.max(axis=2))


def test_luminance_is_that_of_the_eye():
    red, green = (np.full((16, 16, 3), colour, np.uint8) for colour in ((255, 0, 0), (0, 255, 0)))
    assert made("recolor-luminance", red).mean() < made("recolor-luminance", green).mean() - 50
    assert made("recolor-intensity", red).mean() == made("recolor-intensity", green).mean() == 255


def test_canny_line_art_and_shuffle_are_those_of_controlnet_aux():
    from controlnet_aux.canny import CannyDetector
    from controlnet_aux.lineart_standard import LineartStandardDetector
    from controlnet_aux.shuffle import ContentShuffleDetector

    sides = {"detect_resolution": 128, "output_type": "np"}
    assert np.array_equal(made("canny"), CannyDetector()(SCENE, image_resolution=128, **sides))
    assert np.array_equal(made("lineart"), LineartStandardDetector()(SCENE, **sides))
    before = np.random.get_state()
    np.random.seed(np.array([5, 0], np.uint32))
    theirs = ContentShuffleDetector()(SCENE, image_resolution=128, **sides)
    np.random.set_state(before)
    assert np.array_equal(made("shuffle", shuffle_seed=5), theirs)
