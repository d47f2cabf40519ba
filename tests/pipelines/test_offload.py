"""Weights that come when they are called: on the CPU they are copied just so, only not to another device."""

import dataclasses

import numpy as np
import pytest
import torch

from pipelines.denoise import Watch, decode, denoise
from pipelines.engine.catalog import Catalog
from pipelines.engine.conditioning import Conditioner
from pipelines.engine.manager import PipelineManager
from pipelines.engine.offload import largest_block, offloaded
from pipelines.engine.policy import Hardware, decide
from presets.drawing import LoraUse
from presets.requests import TextToImage
from presets.settings import Settings
from tests.checkpoints import save_folder, save_single_file, tiny_flux, tiny_sd1, tiny_sdxl
from tests.loras import of_sd1, save_lora

REQUEST = TextToImage(prompt="a cat", steps=2, seed=3, width=64, height=64, sampler="Euler")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    save_folder(tiny_sd1(), root / "checkpoints/sd1")
    save_single_file(tiny_sdxl(), root / "checkpoints/sdxl.safetensors")
    save_folder(tiny_flux(), root / "checkpoints/flux")
    save_lora(root, "ink", of_sd1(tiny_sd1()))
    return root


def manager(root, offload, limit=2**40, dtype="float32"):
    policy = decide(Hardware("cpu", "CPU", 2**34, 1), Settings(dtype=dtype))
    policy = dataclasses.replace(policy, offload=offload, resident_limit=limit)
    return PipelineManager(Catalog((root,), root / "checkpoints/sd1"), policy, Settings())


def drawn(models, name, loras=()):
    with models.pipeline(name, loras=loras) as loaded:
        conditioning = Conditioner().encode(loaded.pipe, REQUEST.prompt, "")
        return np.array(decode(loaded.pipe, denoise(loaded.pipe, conditioning, REQUEST, Watch(lambda _: None)), print))


@pytest.mark.parametrize("name", ["sd1", "sdxl", "flux"])
def test_every_offload_draws_the_same_picture(root, name):
    expected = drawn(manager(root, "none"), name)
    for offload, limit in (("model", 2**40), ("group", 0), ("group", 10**6), ("sequential", 0)):
        assert np.array_equal(drawn(manager(root, offload, limit), name), expected), offload


@pytest.mark.parametrize("offload", ["model", "sequential"])
def test_a_vae_that_decodes_in_full_precision_is_brought_and_lies_as_before(root, offload):
    models = manager(root, offload, dtype="bfloat16")
    expected = drawn(manager(root, "none", dtype="bfloat16"), "sdxl")
    assert np.array_equal(drawn(models, "sdxl"), expected)
    with models.pipeline("sdxl") as loaded:
        assert loaded.pipe.vae.dtype == torch.bfloat16
    assert np.array_equal(drawn(models, "sdxl"), expected)


def test_loras_are_there_while_weights_come_and_go_and_are_taken_off(root):
    ink = (LoraUse(name="ink"),)
    plain, changed = (drawn(manager(root, "none"), "sd1", loras) for loras in ((), ink))
    models = manager(root, "group", 0)
    assert np.array_equal(drawn(models, "sd1", ink), changed)
    assert np.array_equal(drawn(models, "sd1"), plain)
    assert not np.array_equal(changed, plain)


def state(component):
    """Where each tensor lies, and every hook."""
    places = [tensor.data_ptr() for tensor in (*component.parameters(), *component.buffers())]
    hooks = [(list(m._forward_hooks), list(m._forward_pre_hooks), sorted(m.__dict__)) for m in component.modules()]
    return places, hooks


@pytest.mark.parametrize("offload", ["model", "group", "sequential"])
def test_afterwards_every_weight_lies_where_it_did_and_no_hook_is_left(offload):
    unet = tiny_sd1().unet.float()
    before = state(unet)
    with pytest.raises(ZeroDivisionError), offloaded({"unet": unet}, CPU, offload, 0):
        unet(torch.zeros(1, 4, 8, 8), 1, torch.zeros(1, 77, 64))
        raise ZeroDivisionError
    assert state(unet) == before


def lying_elsewhere(component, homes):
    return sum(t.nbytes for t, home in zip(component.parameters(), homes, strict=True) if t.data_ptr() != home)


def test_only_the_component_in_use_is_on_the_device():
    pipe = tiny_sd1().to(torch.float32)
    parts = {"unet": pipe.unet, "vae": pipe.vae}
    homes = {name: [tensor.data_ptr() for tensor in part.parameters()] for name, part in parts.items()}
    with torch.no_grad(), offloaded(parts, CPU, "model", 0):
        pipe.unet(torch.zeros(1, 4, 8, 8), 1, torch.zeros(1, 77, 64))
        assert lying_elsewhere(pipe.unet, homes["unet"]) and not lying_elsewhere(pipe.vae, homes["vae"])
        pipe.vae.decode(torch.zeros(1, 4, 8, 8))
        assert lying_elsewhere(pipe.vae, homes["vae"]) and not lying_elsewhere(pipe.unet, homes["unet"])


def test_layers_are_on_the_device_only_while_they_compute():
    unet = tiny_sd1().unet.float()
    homes = [tensor.data_ptr() for tensor in unet.parameters()]
    most = []
    unet.mid_block.attentions[0].register_forward_hook(lambda *_: most.append(lying_elsewhere(unet, homes)))
    with torch.no_grad(), offloaded({"unet": unet}, CPU, "sequential", 0):
        unet(torch.zeros(1, 4, 8, 8), 1, torch.zeros(1, 77, 64))
    assert most == [0]


def test_the_largest_block_is_what_is_brought_at_a_time():
    unet = tiny_sd1().unet
    assert largest_block(unet) == max(
        sum(tensor.nbytes for tensor in (*child.parameters(), *child.buffers()))
        for part in unet.children()
        for child in (part if isinstance(part, torch.nn.ModuleList) else [part])
    )
    assert largest_block("a tokenizer") == 0


def test_after_each_lack_of_memory_a_picture_as_large_takes_the_next_plan_and_a_smaller_one_the_first(root):
    models = manager(root, "auto")
    for expected in ("none", "model", "group", "sequential", "sequential"):
        with models.pipeline("sd1", size=(512, 512)) as loaded:
            assert loaded.plan.offload == expected
        relief = models.relieve("gpu")
        assert (relief is None) == (expected == "sequential")
    with models.pipeline("sd1", size=(256, 256)) as loaded:
        assert loaded.plan.offload == "none"


def test_the_picture_is_the_same_by_whatever_plan(root):
    models = manager(root, "auto")
    expected = drawn(models, "sd1")
    for _ in range(3):
        assert models.relieve("gpu")
        assert np.array_equal(drawn(models, "sd1"), expected)
