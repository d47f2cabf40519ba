"""Weights kept in 8 bits: diffusers' numbers, half the memory, and nothing left over after a use."""

import dataclasses

import pytest
import torch
from diffusers.hooks.layerwise_casting import DEFAULT_SKIP_MODULES_PATTERN

from pipelines.engine.catalog import Catalog
from pipelines.engine.components import Component
from pipelines.engine.float8 import STORED, computing, store_in_float8
from pipelines.engine.manager import PipelineManager
from pipelines.engine.policy import Hardware, decide
from presets.drawing import LoraUse
from presets.settings import Settings
from tests.checkpoints import save_folder, tiny_flux, tiny_sd1
from tests.loras import of_sd1, save_lora

ARGUMENTS = torch.randn(2, 4, 16, 16), 500, torch.randn(2, 77, 64)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    save_folder(tiny_sd1(), root / "checkpoints/tiny")
    save_lora(root, "ink", of_sd1(tiny_sd1()))
    return root


def manager(root, offload="none"):
    policy = decide(Hardware("cpu", "CPU", 2**34, 1), Settings(weight_storage="float8"))
    policy = dataclasses.replace(policy, offload=offload)
    return PipelineManager(Catalog((root,), root / "checkpoints/tiny"), policy, Settings())


@torch.no_grad()
def answer(unet):
    return unet(*ARGUMENTS).sample


def test_the_numbers_are_those_of_diffusers():
    ours, theirs = tiny_sd1().unet.float(), tiny_sd1().unet.float()
    plain = answer(ours)
    theirs.enable_layerwise_casting(
        STORED, torch.float32, skip_modules_pattern=(*DEFAULT_SKIP_MODULES_PATTERN, "^conv_in$")
    )
    store_in_float8(ours, pinned=False)
    with computing(ours):
        given = answer(ours)
    assert torch.equal(given, answer(theirs))
    assert not torch.equal(given, plain) and torch.allclose(given, plain, atol=0.5)


@pytest.mark.parametrize(("model", "share"), [(lambda: tiny_sd1().unet, 0.6), (lambda: tiny_flux().transformer, 0.75)])
def test_most_of_the_weights_take_a_byte_each_and_the_model_says_what_it_computes_in(model, share):
    denoiser = model().to(torch.bfloat16)
    before = Component(denoiser).size
    store_in_float8(denoiser, pinned=False)
    assert Component(denoiser).size < share * before
    assert denoiser.dtype == torch.bfloat16


def places(unet):
    hooks = [(list(module._forward_hooks), list(module._forward_pre_hooks)) for module in unet.modules()]
    return [(tensor.data_ptr(), tensor.dtype) for tensor in unet.parameters()], hooks


def test_after_a_use_and_after_an_error_the_weights_lie_in_their_block_and_no_hook_is_left(root):
    models = manager(root)
    with models.pipeline("tiny") as loaded:
        unet = loaded.pipe.unet
        answer(unet)
    before = places(unet)
    with pytest.raises(RuntimeError), models.pipeline("tiny") as loaded:
        loaded.pipe.unet(torch.zeros(1, 4, 16, 16), 1, torch.zeros(1, 77, 3))
    assert places(unet) == before


def test_a_lora_changes_the_picture_as_on_whole_weights_and_is_taken_off_bit_for_bit(root):
    models = manager(root)
    with models.pipeline("tiny") as loaded:
        plain = answer(loaded.pipe.unet)
    with models.pipeline("tiny", loras=(LoraUse(name="ink"),)) as loaded:
        changed = answer(loaded.pipe.unet)
    with models.pipeline("tiny", loras=(LoraUse(name="ink", strength=0.01),)) as loaded:
        slightly = answer(loaded.pipe.unet)
    with models.pipeline("tiny") as loaded:
        assert torch.equal(answer(loaded.pipe.unet), plain)
    assert not torch.equal(slightly, plain)
    assert (changed - plain).abs().mean() > 10 * (slightly - plain).abs().mean()


@pytest.mark.parametrize("offload", ["model", "group", "sequential"])
def test_weights_in_8_bits_may_wait_in_main_memory(root, offload):
    with manager(root).pipeline("tiny") as loaded:
        expected = answer(loaded.pipe.unet)
    with manager(root, offload).pipeline("tiny") as loaded:
        assert torch.equal(answer(loaded.pipe.unet), expected)
