"""The painter and the captions: what training shows, and what it never shows."""

from random import Random

import numpy as np
import pytest

from training.latents import caption_of, scene_of
from training.painter import PAINTS, paint
from training.words import COLOURS, GROUNDS, OBJECTS, SKIES, Scene, Thing, held_out, pairs_for_training


def one(name: str, colour: str, sky: str = "day", ground: str = "meadow") -> Scene:
    return Scene((Thing(name, colour, "middle"),), sky, ground, frozenset())


def test_there_are_enough_words():
    assert len(OBJECTS) >= 16
    assert len(COLOURS) == 10
    assert len(SKIES) == len(GROUNDS) == 4


def test_the_same_seed_paints_the_same_picture_and_another_seed_another():
    first, again, other = (np.asarray(paint(one("house", "red"), seed=seed)) for seed in (7, 7, 8))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("name", OBJECTS)
def test_an_object_is_mostly_of_its_colour(name):
    picture = np.asarray(paint(one(name, "purple", sky="overcast", ground="desert"), seed=3)).astype(int)
    distance = np.abs(picture - np.array(PAINTS["purple"])).sum(axis=2)
    assert (distance < 90).mean() > 0.02


def test_sky_and_ground_change_the_picture_where_they_are():
    day, night = (np.asarray(paint(one("house", "red", sky=sky), seed=7)).astype(int) for sky in ("day", "night"))
    assert np.abs(day[:20] - night[:20]).mean() > 40
    meadow, snow = (np.asarray(paint(one("house", "red", ground=ground), seed=7)) for ground in ("meadow", "snow"))
    assert np.abs(meadow[-10:].astype(int) - snow[-10:]).mean() > 40


def test_training_never_shows_a_held_out_pair_but_every_object_and_colour():
    shown = {(thing.object, thing.colour) for index in range(4000) for thing in scene_of(index).things}
    assert not shown & held_out()
    assert shown == set(pairs_for_training())
    assert {name for name, _ in shown} == set(OBJECTS)
    assert {colour for _, colour in shown} == set(COLOURS)


def test_a_caption_names_every_object_with_its_colour_or_is_the_bare_name_of_one():
    random = Random(1)
    for index in range(300):
        things = scene_of(index).things
        caption = caption_of(scene_of(index), random)
        assert caption == things[0].object or all(f"{thing.colour} {thing.object}" in caption for thing in things)


def test_captions_of_one_scene_vary():
    random = Random(1)
    assert len({caption_of(scene_of(5), random) for _ in range(20)}) > 10
