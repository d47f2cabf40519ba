import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from PIL import Image

from pipelines import masks


def square(size=(40, 60), box=(20, 10, 30, 20)):
    """A mask (height, width) painted in `box` (left, top, right, bottom)."""
    painted = np.zeros(size, bool)
    painted[box[1] : box[3], box[0] : box[2]] = True
    return painted


def noise(size=(60, 40), mode="RGB", seed=0):
    shape = (size[1], size[0], len(mode))
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, np.uint8))


def test_what_is_painted_and_grown_is_new_and_then_it_fades():
    covered = masks.coverage(square(), 3, 4)
    row = covered[15]
    assert (row[17:33] == 1).all()
    assert (np.diff(row[33:38]) < 0).all() and (row[33:37] > 0).all()
    assert (row[37:] == 0).all() and (row[:13] == 0).all()


def test_without_growing_and_feathering_it_is_what_was_painted():
    assert np.array_equal(masks.coverage(square(), 0, 0), square().astype(np.float32))


def test_nothing_painted_covers_nothing():
    assert masks.coverage(np.zeros((20, 20), bool), 5, 5).max() == 0


@settings(max_examples=60, deadline=None)
@given(
    some.tuples(some.integers(0, 90), some.integers(0, 70), some.integers(1, 10), some.integers(1, 10)),
    some.sampled_from([(64, 64), (128, 64), (64, 512)]),
)
def test_what_the_model_sees_holds_the_mask_and_lies_in_the_picture(place, size):
    left, top, width, height = place
    part = (left, top, left + width, top + height)
    box = masks.shaped(part, size, (100, 80))
    assert box[0] <= part[0] and box[1] <= part[1] and box[2] >= part[2] and box[3] >= part[3]
    assert box[0] >= 0 and box[1] >= 0 and box[2] <= 100 and box[3] <= 80


def test_what_the_model_sees_has_the_shape_it_draws_in():
    left, top, right, bottom = masks.shaped((200, 200, 240, 220), (128, 128), (1000, 1000))
    assert (right - left, bottom - top) == (40, 40)
    assert (left, top) == (200, 190)


def test_latents_see_whole_squares():
    blocks = masks.in_blocks(square((16, 16), (7, 9, 9, 10)), 8)
    assert np.argwhere(blocks[::8, ::8]).tolist() == [[1, 0], [1, 1]]


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_outside_the_mask_not_one_pixel_changes(mode):
    original, covered = noise(mode=mode), masks.coverage(square(), 2, 3)
    result = masks.composited(original, noise((30, 25), seed=1), (10, 5, 40, 30), covered)
    assert result.mode == mode
    assert masks.changed_outside(original, result, covered) == 0
    changed = (np.asarray(original) != np.asarray(result)).any(axis=-1)
    assert changed[square()].mean() > 0.9


def test_a_pixel_that_changed_outside_is_counted():
    original, covered = noise(), masks.coverage(square(), 2, 3)
    result = original.copy()
    result.putpixel((0, 0), (1, 2, 3))
    result.putpixel((25, 15), (1, 2, 3))
    assert masks.changed_outside(original, result, covered) == 1


def test_what_is_drawn_on_a_transparent_place_becomes_opaque():
    clear = Image.new("RGBA", (60, 40), (9, 9, 9, 0))
    result = np.asarray(masks.composited(clear, noise(), (0, 0, 60, 40), masks.coverage(square(), 0, 0)))
    assert (result[square()][:, 3] == 255).all()
    assert (result[~square()] == (9, 9, 9, 0)).all()


def test_colours_of_the_new_are_matched_to_those_around():
    plain = Image.new("RGB", (60, 40), (100, 100, 100))
    tinted = Image.new("RGB", (60, 40), (110, 95, 100))
    result = masks.composited(plain, tinted, (0, 0, 60, 40), masks.coverage(square(), 0, 0))
    assert np.abs(np.asarray(result, int) - 100).max() <= 1


def test_filling_takes_the_colours_around():
    pixels = np.asarray(masks.filled_in(Image.new("RGB", (60, 40), (10, 200, 30)), square()))
    assert np.abs(pixels.astype(int) - (10, 200, 30)).max() <= 1
