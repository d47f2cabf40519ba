import pytest
import torch
from peft import LoHaConfig, LoKrConfig, LoraConfig, get_peft_model

from pipelines.engine.deltas import DoesNotFit, changes_of, merge
from tests.loras import low_rank, noise


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(3)


def one(rank: int) -> float:  # noqa: ARG001
    return 1.0


def with_change(weight, strength=1.0, **parts):
    result = weight.clone()
    merge(result, result, [(changes_of(parts, one)["weight"], strength)])
    return result


def by_peft(layer, config):
    """The layer under random adapter weights of PEFT's: those by their last names, and the weight that it merges."""
    peft = get_peft_model(torch.nn.Sequential(layer), config)
    for name, parameter in peft.named_parameters():
        if "base_layer" not in name:
            parameter.data = noise(*parameter.shape) + ("magnitude" in name)
    parts = {name.split("0.", 1)[1].split(".default")[0]: tensor.data for name, tensor in peft.named_parameters()}
    merged = peft.merge_and_unload()[0].weight.data
    return {name: part for name, part in parts.items() if "base_layer" not in name}, merged


LAYERS = (torch.nn.Linear(12, 20), torch.nn.Conv2d(30, 42, 3))


def copy_of(layer):
    copy = torch.nn.Linear(12, 20) if isinstance(layer, torch.nn.Linear) else torch.nn.Conv2d(30, 42, 3)
    copy.load_state_dict(layer.state_dict())
    return copy


@pytest.mark.parametrize("layer", LAYERS, ids=("linear", "convolution"))
@pytest.mark.parametrize("effective", [False, True])
def test_loha_and_lokr_are_pefts(layer, effective):
    loha = LoHaConfig(r=3, alpha=2, target_modules=["0"], use_effective_conv2d=effective)
    lokr = LoKrConfig(r=2, alpha=4, target_modules=["0"], use_effective_conv2d=effective, decompose_both=False)
    for config, scale in ((loha, 2.0), (lokr, 4.0)):
        parts, merged = by_peft(copy_of(layer), config)
        ours = with_change(layer.weight.data, alpha=torch.tensor(scale), **parts)
        assert not merged.equal(layer.weight.data)
        torch.testing.assert_close(ours, merged)


@pytest.mark.parametrize("layer", LAYERS, ids=("linear", "convolution"))
def test_dora_is_pefts(layer):
    parts, merged = by_peft(copy_of(layer), LoraConfig(r=3, lora_alpha=6, use_dora=True, target_modules=["0"]))
    up, down = parts["lora_B"], parts["lora_A"]
    lengths = next(tensor for name, tensor in parts.items() if "magnitude" in name)
    ours = with_change(layer.weight.data, up=up, down=down, magnitude=lengths, alpha=torch.tensor(6.0))
    torch.testing.assert_close(ours, merged)
    lycoris = with_change(
        layer.weight.data, up=up, down=down, dora_scale=lengths.reshape(-1, 1), alpha=torch.tensor(6.0)
    )
    torch.testing.assert_close(lycoris, merged)


def test_dora_of_columns_scales_them():
    weight, lengths = noise(20, 12, scale=1), torch.rand(1, 12) + 1
    up, down = low_rank((20, 12))
    ours = with_change(weight, up=up, down=down, dora_scale=lengths)
    torch.testing.assert_close(ours.norm(dim=0), lengths[0])


def test_strength_goes_straight_from_the_weight_to_the_changed_one():
    weight = noise(20, 12, scale=1)
    parts = dict(zip(("up", "down"), low_rank((20, 12)), strict=True)) | {"dora_scale": torch.rand(20, 1)}
    half, whole = with_change(weight, 0.5, **parts), with_change(weight, **parts)
    torch.testing.assert_close(half, (weight + whole) / 2)
    assert not whole.allclose(weight)


def test_a_kernel_between_up_and_down_is_what_three_convolutions_do():
    up, down, kernel = noise(8, 4, 1, 1), noise(4, 6, 1, 1), noise(4, 4, 3, 3)
    pixels = torch.randn(1, 6, 9, 9)
    convolved = pixels
    for step in (down, kernel, up):
        convolved = torch.nn.functional.conv2d(convolved, step)
    weight = with_change(torch.zeros(8, 6, 3, 3), up=up, down=down, mid=kernel, alpha=torch.tensor(2.0))
    torch.testing.assert_close(torch.nn.functional.conv2d(pixels, weight), convolved / 2, atol=1e-6, rtol=1e-4)


def test_whole_differences_are_added_to_weight_and_bias():
    changes = changes_of({"diff": torch.ones(4, 4), "diff_b": torch.full((4,), 2.0)}, one)
    weight, bias = torch.zeros(4, 4), torch.zeros(4)
    merge(weight, weight, [(changes["weight"], 0.5)])
    merge(bias, bias, [(changes["bias"], 0.5)])
    assert weight.eq(0.5).all() and bias.eq(1).all()


def test_changes_of_different_kinds_add_up_on_the_weight_as_it_was():
    weight = noise(20, 12, scale=1)
    dora = dict(zip(("up", "down"), low_rank((20, 12)), strict=True)) | {"dora_scale": torch.rand(20, 1)}
    plain = dict(zip(("up", "down"), low_rank((20, 12)), strict=True))
    both = weight.clone()
    merge(both, both, [(changes_of(parts, one)["weight"], 1.0) for parts in (dora, plain)])
    expected = with_change(weight, **dora) + with_change(weight, **plain) - weight
    torch.testing.assert_close(both, expected)


@pytest.mark.parametrize(
    "parts",
    [
        {"up": noise(4, 2), "down": noise(3, 4)},
        {"up": noise(4, 2), "down": noise(2, 9)},
        {"up": noise(4, 2, 1, 1), "down": noise(2, 4, 1, 1), "mid": noise(2, 3, 1, 1)},
        {"up": noise(4, 0), "down": noise(0, 4)},
        {"hada_w1_a": noise(4, 2), "hada_w1_b": noise(3, 4), "hada_w2_a": noise(4, 2), "hada_w2_b": noise(2, 4)},
        {"lokr_w1": noise(3, 3), "lokr_w2": noise(3, 3)},
        {"diff": noise(5, 4)},
        {"up": noise(4, 2), "down": noise(2, 4), "dora_scale": noise(3, 1)},
    ],
)
def test_parts_that_do_not_fit_are_refused(parts):
    with pytest.raises(DoesNotFit):
        changes_of(parts, one)["weight"].check((4, 4))


def test_a_product_too_large_to_be_of_use_is_refused_before_it_is_made():
    parts = {"up": noise(1, 10**5), "down": noise(1, 10**5, 1, 1), "mid": noise(10**5, 1, 1, 1)}
    with pytest.raises(DoesNotFit):
        changes_of(parts, one)
