"""Weights kept in few bits: the libraries' numbers, less memory, and nothing left over after a use."""

import copy
import dataclasses
import subprocess
import sys

import pytest
import torch
from diffusers.hooks.layerwise_casting import DEFAULT_SKIP_MODULES_PATTERN

from pipelines.engine.catalog import Catalog
from pipelines.engine.components import Component
from pipelines.engine.manager import PipelineManager
from pipelines.engine.narrow import computing, store
from pipelines.engine.policy import PACKAGES, Hardware, decide
from presets.drawing import LoraUse
from presets.errors import UserError
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


def manager(root, offload="none", storage="float8"):
    hardware = Hardware("cpu", "CPU", 2**34, 1, packages=("torchao", "bitsandbytes"))
    policy = decide(hardware, Settings(weight_storage=storage))
    policy = dataclasses.replace(policy, offload=offload)
    return PipelineManager(Catalog((root,), root / "checkpoints/tiny"), policy, Settings())


@pytest.fixture(scope="module")
def libraries(tmp_path_factory):
    """torchao and bitsandbytes, for this module alone: diffusers imports them wherever they are installed."""
    folder = tmp_path_factory.mktemp("libraries")
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(folder), *PACKAGES.values()]
    if subprocess.run(command, check=False).returncode:
        pytest.skip("torchao and bitsandbytes cannot be installed here")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield


@torch.no_grad()
def answer(unet):
    return unet(*ARGUMENTS).sample


def test_the_numbers_are_those_of_diffusers():
    ours, theirs = tiny_sd1().unet.float(), tiny_sd1().unet.float()
    plain = answer(ours)
    theirs.enable_layerwise_casting(
        torch.float8_e4m3fn, torch.float32, skip_modules_pattern=(*DEFAULT_SKIP_MODULES_PATTERN, "^conv_in$")
    )
    store(ours, "float8", pinned=False)
    with computing(ours, "float8"):
        given = answer(ours)
    assert torch.equal(given, answer(theirs))
    assert not torch.equal(given, plain) and torch.allclose(given, plain, atol=0.5)


@pytest.mark.parametrize(("model", "share"), [(lambda: tiny_sd1().unet, 0.6), (lambda: tiny_flux().transformer, 0.75)])
def test_most_of_the_weights_take_a_byte_each_and_the_model_says_what_it_computes_in(model, share):
    denoiser = model().to(torch.bfloat16)
    before = Component(denoiser).size
    store(denoiser, "float8", pinned=False)
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


def _of_torchao(linear):
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    quantize_(linear, Int8WeightOnlyConfig())
    return linear


def _of_bitsandbytes(linear):
    from bitsandbytes.nn import Linear4bit, Params4bit

    narrow = Linear4bit(linear.in_features, linear.out_features, bias=False, quant_type="nf4")
    narrow.weight = Params4bit(linear.weight.data, requires_grad=False, quant_type="nf4")
    return narrow.to("cpu")


@pytest.mark.parametrize(("storage", "theirs"), [("int8", _of_torchao), ("nf4", _of_bitsandbytes)])
@pytest.mark.usefixtures("libraries")
def test_a_layer_computes_what_the_library_would(storage, theirs):
    plain = [torch.nn.Linear(64, 96, bias=False, dtype=torch.bfloat16).requires_grad_(False) for _ in range(2)]
    ours, numbers = Blocks(*copy.deepcopy(plain)), torch.randn(3, 64).bfloat16()
    store(ours, storage, pinned=False)
    with torch.no_grad(), computing(ours, storage):
        given = ours.blocks[1](numbers)
    expected = theirs(copy.deepcopy(plain[1]))(numbers)
    torch.testing.assert_close(given, expected, atol=0.02, rtol=0.02)
    assert (given - plain[1](numbers)).abs().max() > 0


class Blocks(torch.nn.Module):
    """What diffusers' models tell of themselves; the first layer stays whole."""

    _skip_layerwise_casting_patterns = _keep_in_fp32_modules = None
    dtype = torch.bfloat16

    def __init__(self, *layers):
        super().__init__()
        self.blocks = torch.nn.ModuleList(layers)


@pytest.mark.parametrize(("storage", "share"), [("int8", 0.8), ("nf4", 0.65)])
@pytest.mark.usefixtures("libraries")
def test_flux_in_few_bits_draws_nearly_the_same(storage, share):
    denoiser = tiny_flux().transformer.to(torch.bfloat16).requires_grad_(False)
    arguments = {
        "hidden_states": torch.randn(1, 16, 64).bfloat16(),
        "encoder_hidden_states": torch.randn(1, 4, 64).bfloat16(),
        "pooled_projections": torch.randn(1, 64).bfloat16(),
        "timestep": torch.tensor([0.5]),
        "guidance": torch.tensor([3.5]),
        "img_ids": torch.zeros(16, 3),
        "txt_ids": torch.zeros(4, 3),
    }
    with torch.no_grad():
        plain = denoiser(**arguments).sample
        before = Component(denoiser).size
        store(denoiser, storage, pinned=False)
        with computing(denoiser, storage):
            given = denoiser(**arguments).sample
    assert Component(denoiser).size < share * before
    assert 0 < (given - plain).abs().mean() < 0.3 * plain.abs().mean()


@pytest.mark.parametrize("storage", ["int8", "nf4"])
@pytest.mark.usefixtures("libraries")
def test_a_checkpoint_in_few_bits_is_used_and_left_as_it_was_and_takes_no_lora(root, storage):
    models = manager(root, storage=storage)
    with models.pipeline("tiny") as loaded:
        unet, first = loaded.pipe.unet, answer(loaded.pipe.unet)
    before = places(unet)
    with models.pipeline("tiny") as loaded:
        assert torch.equal(answer(loaded.pipe.unet), first)
    assert places(unet) == before
    with (
        pytest.raises(UserError, match="cannot be applied to 'tiny': its weights are compressed"),
        models.pipeline("tiny", loras=(LoraUse(name="ink"),)),
    ):
        pytest.fail("it was applied")


@pytest.mark.parametrize(("storage", "package"), PACKAGES.items())
def test_a_package_that_is_missing_is_named(storage, package):
    with pytest.raises(
        UserError, match=f"kept in {storage} by {package}, which is not installed.*pip install {package}"
    ):
        decide(Hardware("cpu", "CPU", 2**34, 1), Settings(weight_storage=storage))
