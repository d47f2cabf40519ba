import copy
import gc

import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline

from pipelines.engine.adapters import Adapters
from pipelines.engine.errors import Cancelled, LoraFamily, LoraNotFound, LoraNumbers, LoraShape, LoraUnusable
from presets.errors import UserError
from presets.requests import LoraUse
from tests import loras
from tests.checkpoints import tiny_sd1, tiny_sdxl
from tests.loras import ATTENTION, CONVOLUTION, PEFT_ENDS, components_of, kohya, layers, model_of, noise, save_lora


@pytest.fixture(scope="module")
def sd1() -> StableDiffusionPipeline:
    return tiny_sd1().to(torch.float32)


@pytest.fixture(scope="module")
def sdxl() -> StableDiffusionXLPipeline:
    return tiny_sdxl().to(torch.float32)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(7)


def no_report(_event):
    pass


def state(pipe):
    """Copies of all weights by component and name."""
    return {
        f"{part}.{name}": tensor.clone()
        for part, component in components_of(pipe).items()
        for name, tensor in component.state_dict().items()
    }


def changed(before, after):
    return {name for name in before if not before[name].equal(after[name])}


def applied(root, pipe, *uses, report=no_report, adapters=None):
    model = model_of("sdxl" if isinstance(pipe, StableDiffusionXLPipeline) else "sd1")
    adapters = adapters or Adapters(loras.files_in(root))
    return adapters.applied(components_of(pipe), model, uses, report)


def merged(root, pipe, *uses):
    with applied(root, pipe, *uses):
        return state(pipe)


def fused(pipe, path, strength=1.0):
    """What diffusers makes of the same file."""
    pipe = copy.deepcopy(pipe)
    pipe.load_lora_weights(path.parent, weight_name=path.name)
    pipe.fuse_lora(lora_scale=strength)
    pipe.unload_lora_weights()
    return state(pipe)


def assert_same(ours, theirs, before):
    assert changed(before, theirs)
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, atol=2e-6, rtol=1e-5, msg=lambda text, name=name: name + text)


@pytest.mark.parametrize("pattern", [ATTENTION, f"{ATTENTION}|{CONVOLUTION}"])
def test_kohyas_lora_of_sd1_makes_what_diffusers_makes(tmp_path, sd1, pattern):
    path = save_lora(tmp_path, "ink", loras.of_sd1(sd1, pattern))
    assert_same(merged(tmp_path, sd1, LoraUse(name="ink", strength=0.7)), fused(sd1, path, 0.7), state(sd1))


def test_kohyas_lora_of_sdxl_makes_what_diffusers_makes(tmp_path, sdxl):
    path = save_lora(tmp_path, "ink", loras.of_sdxl(sdxl))
    assert_same(merged(tmp_path, sdxl, LoraUse(name="ink")), fused(sdxl, path), state(sdxl))


@pytest.mark.parametrize("ends", [PEFT_ENDS, loras.OLD_ENDS])
def test_spellings_of_diffusers_make_what_diffusers_makes(tmp_path, sd1, ends):
    unet = loras.dotted("unet.", layers(sd1.unet, ATTENTION), ends)
    path = save_lora(tmp_path, "ink", unet)
    assert_same(merged(tmp_path, sd1, LoraUse(name="ink")), fused(sd1, path), state(sd1))
