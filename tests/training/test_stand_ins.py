"""How the starter shows presets for other checkpoints."""

import pytest

from presets.library import Library
from presets.partial import accepted
from presets.requests import KINDS
from training.stand_ins import STAND_INS


@pytest.mark.parametrize("key", STAND_INS, ids="/".join)
def test_what_stands_in_is_allowed_and_its_picture_is_there(key):
    preset = Library().find(*key)
    assert preset.thumbnail
    assert not accepted(KINDS[preset.kind], {**preset.values, **STAND_INS[key]})[1]
