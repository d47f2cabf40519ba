"""How the starter shows presets for other checkpoints."""

import pytest

from presets.library import Library
from presets.partial import accepted
from presets.preprocessors import PREPROCESSORS
from presets.requests import KINDS
from presets.upscale_fields import RESAMPLERS
from training.props import PROPS
from training.stand_ins import STAND_INS, StandIn

SHIPPED = {"storybook", "storybook-x2", *RESAMPLERS}


@pytest.mark.parametrize("key", STAND_INS, ids="/".join)
def test_what_stands_in_is_allowed_and_its_pictures_can_be_made(key):
    preset, stand_in = Library().find(*key), STAND_INS[key]
    assert not accepted(KINDS[preset.kind], {**preset.values, **stand_in.values})[1]
    for name in {stand_in.given, stand_in.before, stand_in.after} - PROPS.keys() - {""}:
        assert is_drawn(Library().find(*name.split("/")))


def is_drawn(preset):
    """Whether the starter makes the picture of a preset by itself, or by what stands in."""
    values = {**preset.values, **STAND_INS.get((preset.kind, preset.name), StandIn({})).values}
    detector = PREPROCESSORS.get(values.get("preprocessor"))
    is_filter = preset.kind == "control-picture" and detector is not None and detector.weights is None
    return is_filter or values.get("checkpoint", values.get("upscaler")) in SHIPPED


@pytest.mark.parametrize("kind", KINDS)
def test_every_built_in_preset_can_be_drawn_here(kind):
    presets = [preset for preset in Library().presets(kind) if not is_drawn(preset)]
    shown = [preset for preset in presets if STAND_INS.get((kind, preset.name), StandIn({})).after in PROPS]
    assert presets == shown


def test_props_are_pictures_and_always_the_same():
    for name, made in PROPS.items():
        picture = made()
        assert len(picture.getcolors(1 << 18) or ()) > 1, name
        assert picture.tobytes() == made().tobytes(), name
