"""Compiled blocks: counted by a compiler of PyTorch's own tests, which compiles nothing and keeps the numbers."""

import pytest
import torch
from torch._dynamo.testing import CompileCounter

from pipelines.engine.adapters import Adapters
from pipelines.engine.compiling import compile_blocks, interpreted
from pipelines.engine.offload import offloaded
from presets.drawing import LoraUse
from tests.checkpoints import tiny_sd1, tiny_sd3
from tests.loras import components_of, files_in, model_of, of_sd1, save_lora

ARGUMENTS = torch.randn(2, 4, 16, 16), 500, torch.randn(2, 77, 64)


@pytest.fixture
def counter():
    torch._dynamo.reset()
    yield CompileCounter()
    torch._dynamo.reset()


@torch.no_grad()
def answer(unet):
    return unet(*ARGUMENTS).sample


def test_loras_come_and_go_without_a_second_compilation(tmp_path, counter):
    pipe = tiny_sd1().to(torch.float32)
    save_lora(tmp_path, "ink", of_sd1(pipe))
    adapters = Adapters(files_in(tmp_path))
    plain = answer(pipe.unet)
    compile_blocks(pipe.unet, counter)
    assert torch.allclose(answer(pipe.unet), plain, atol=1e-5)
    compiled = counter.frame_count
    with adapters.applied(components_of(pipe), model_of("sd1"), (LoraUse(name="ink"),), print):
        changed = answer(pipe.unet)
    assert torch.allclose(answer(pipe.unet), plain, atol=1e-5) and not torch.allclose(changed, plain, atol=1e-3)
    assert counter.frame_count == compiled > 0


def test_weights_that_come_and_go_run_as_they_are_and_compiled_again_afterwards(counter):
    unet = tiny_sd1().unet.float()
    plain = answer(unet)
    compile_blocks(unet, counter)
    with interpreted(unet), offloaded({"unet": unet}, torch.device("cpu"), "sequential", 0):
        assert torch.equal(answer(unet), plain)
    assert counter.frame_count == 0
    answer(unet)
    assert counter.frame_count > 0


def test_an_architecture_without_repeated_blocks_is_left_alone():
    transformer = tiny_sd3().transformer
    compile_blocks(transformer)
    assert all(module._compiled_call_impl is None for module in transformer.modules())
