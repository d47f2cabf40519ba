"""Where the weights of a checkpoint lie, by what fits the card: the sizes are those of real checkpoints."""

from dataclasses import replace

import pytest

from pipelines.engine.plans import Demand, Plan, decoding_bytes, plans_for
from pipelines.engine.policy import Hardware, decide
from presets.settings import Settings

GIB = 2**30
XL_VAE = {"block_out_channels": (128, 256, 512, 512)}
SD1 = {"unet": 1.6, "vae": 0.16, "text_encoder": 0.23}
SDXL = {"unet": 4.8, "vae": 0.16, "text_encoder": 0.23, "text_encoder_2": 1.3}
FLUX = {"transformer": 22.2, "vae": 0.16, "text_encoder": 0.23, "text_encoder_2": 8.9}


def demand(parts, side=512, itemsize=2):
    sizes = {part: int(size * GIB) for part, size in parts.items()}
    return Demand(sizes, largest_block=GIB // 2, decode=decoding_bytes(XL_VAE, (side, side), itemsize))


def policy(memory, **settings):
    return decide(Hardware("cuda", "card", int(memory * GIB), 8, main_memory=64 * GIB), Settings(**settings))


@pytest.mark.parametrize(
    ("memory", "parts", "expected"),
    [
        (139, FLUX, "none"),
        (48, FLUX, "none"),
        (40, FLUX, "model"),
        (24, FLUX, "group"),
        (24, SDXL, "none"),
        (12, SDXL, "none"),
        (8, SDXL, "model"),
        (6, SDXL, "group"),
        (4, SD1, "none"),
        (2, SD1, "group"),
        (0.5, SD1, "sequential"),
    ],
)
def test_weights_lie_where_they_fit(memory, parts, expected):
    plans = plans_for(policy(memory), demand(parts))
    assert plans[0].offload == expected
    assert plans[-1].offload == "sequential"


def test_the_setting_decides_and_leaves_no_other_plan():
    assert plans_for(policy(139, offload="group"), demand(SD1)) == (Plan("group"),)
    assert plans_for(policy(4, offload="none"), demand(FLUX)) == (Plan("none"),)


def test_a_memory_budget_of_the_person_is_the_limit_for_one_checkpoint_too():
    assert plans_for(policy(24, memory_budget=6 * GIB), demand(SDXL))[0].offload == "model"


@pytest.mark.parametrize(
    ("memory", "side", "itemsize", "expected"),
    [(139, 2048, 4, False), (8, 512, 2, False), (6, 1024, 4, True), (24, 1024, 4, False), (24, 2048, 4, True)],
)
def test_the_vae_decodes_in_tiles_where_the_picture_needs_too_much_at_once(memory, side, itemsize, expected):
    plans = plans_for(policy(memory), demand(SD1, side, itemsize))
    assert {plan.vae_tiling for plan in plans} == {expected}
    assert plans_for(policy(memory, vae_tiling="always"), demand(SD1, side, itemsize))[0].vae_tiling


def test_on_a_cpu_all_weights_are_where_they_run():
    cpu = decide(Hardware("cpu", "CPU", 8 * GIB, 2), Settings())
    assert plans_for(cpu, demand(SDXL)) == (Plan("none"),)
    assert plans_for(cpu, demand(SDXL, 1024, 2)) == (Plan("none", vae_tiling=True),)
    assert plans_for(cpu, demand(SD1, 1024, 2)) == (Plan("none"),)
    assert plans_for(replace(cpu, offload="model"), demand(SD1)) == (Plan("model"),)


def test_a_plan_is_told_in_words():
    assert str(Plan("model", vae_tiling=True)) == "each component on the device only while it is used, the VAE in tiles"
