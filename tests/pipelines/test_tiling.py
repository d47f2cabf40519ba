"""Tiles cover a picture, know their places in a larger one, and leave no seams."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from pipelines.tiling import grid_of, in_tiles, spans, strips


@given(st.integers(1, 3000), st.integers(64, 1024), st.integers(0, 511))
def test_spans_cover_all_with_at_least_the_overlap_in_common(length, tile, overlap):
    overlap = min(overlap, tile // 2)
    found = spans(length, tile, overlap)
    assert found[0][0] == 0 and found[-1][1] == length
    assert all(stop - start == min(tile, length) for start, stop in found)
    assert all(before - start >= overlap for (_, before), (start, _) in zip(found, found[1:], strict=False))


@given(st.integers(16, 400), st.integers(64, 128), st.integers(0, 32), st.floats(1, 8))
def test_every_pixel_of_the_result_is_some_tiles_target(length, tile, overlap, factor):
    result = round(length * factor)
    seen = np.zeros(result, int)
    for strip in strips(length, tile, overlap, result):
        seen[slice(*strip.target)] += 1
    assert seen.min() >= 1


def noise(size):
    return Image.fromarray(np.random.default_rng(5).integers(0, 256, (size[1], size[0], 3), np.uint8))


def local(picture):
    """Twice as large by something that sees few pixels around."""
    larger = picture.resize((picture.width * 2, picture.height * 2), Image.Resampling.BICUBIC)
    return larger.filter(ImageFilter.GaussianBlur(1.5))


def made(picture, result, tile, overlap, work=local):
    canvas = Image.new("RGB", result)
    grid = grid_of(picture.size, tile, overlap, result)
    assert list(in_tiles(picture, grid, work, canvas)) == list(range(1, len(grid) + 1))
    return np.asarray(canvas).astype(int)


@pytest.mark.parametrize("result", [(600, 402), (431, 289), (1000, 670)])
def test_tiles_give_what_the_whole_gives_at_any_factor(result):
    picture = noise((300, 201))
    assert np.abs(made(picture, result, 300, 0) - made(picture, result, 96, 32)).max() <= 1


def test_tiles_without_overlap_differ_from_the_whole_only_at_their_edges():
    picture = noise((192, 96))
    difference = np.abs(made(picture, (384, 192), 192, 0) - made(picture, (384, 192), 96, 0))
    differs = difference.max(axis=(0, 2)) > 1
    assert differs[186:198].any() and not differs[:180].any() and not differs[204:].any()


def test_a_seam_fades_from_one_tile_into_the_next():
    values = iter((50, 200))
    flat = made(noise((160, 96)), (160, 96), 96, 32, lambda part: Image.new("RGB", part.size, (next(values),) * 3))[
        40, :, 0
    ]
    assert flat[0] == 50 and flat[-1] == 200
    assert np.diff(flat).min() >= 0 and np.diff(flat).max() <= 12
