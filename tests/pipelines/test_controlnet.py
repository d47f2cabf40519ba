"""The runner of ControlNet: the raw pipeline's pixels, and control models in memory as checkpoints are."""

import shutil

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionControlNetPipeline
from PIL import Image, ImageDraw

from pipelines.control import Followed, as_numbers, following
from pipelines.denoise import Watch, decode, denoise
from pipelines.engine.catalog import Catalog
from pipelines.engine.conditioning import Conditioner
from pipelines.engine.errors import Cancelled, ControlFamily, ControlNotFound, ControlUnusable
from pipelines.engine.manager import PipelineManager
from pipelines.engine.policy import Hardware, decide
from presets.controlnet import ControlUnit
from presets.images import ImageRef
from presets.requests import ControlNet
from presets.settings import Settings
from tests.checkpoints import save_folder, tiny_sd1
from tests.controls import save_control, tiny_control
from tests.raw import raw_picture

SIDE = 64
LINES = Image.new("RGB", (SIDE, SIDE))
ImageDraw.Draw(LINES).rectangle((12, 20, 40, 60), outline="white")
NOWHERE = ImageRef(sha256="ab" * 32, width=SIDE, height=SIDE)


def request(**unit):
    units = [{"picture": NOWHERE, "control": "lines", **unit}]
    values = {"prompt": "a house", "negative_prompt": "blue", "steps": 4, "seed": 7, "units": units}
    return ControlNet.model_validate(values).resolved("tiny", (SIDE, SIDE))


@pytest.fixture(scope="module")
def pipe():
    pipe = tiny_sd1().to(torch.float32)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="module")
def control(pipe):
    return tiny_control(pipe.unet)


def latents_of(pipe, wanted, control, report=lambda _: None):
    conditioning = Conditioner().encode(pipe, wanted.prompt, wanted.negative_prompt)
    with following(pipe, [Followed(unit, control, as_numbers(LINES)) for unit in wanted.units]):
        return denoise(pipe, conditioning, wanted, Watch(report))


@pytest.mark.parametrize("unit", [{}, {"weight": 0.6, "start": 0.2, "end": 0.8}])
def test_the_picture_is_that_of_the_raw_pipeline(pipe, control, unit):
    wanted = request(**unit)
    ours = decode(pipe, latents_of(pipe, wanted, control), print)
    raw = StableDiffusionControlNetPipeline(**{**pipe.components, "controlnet": control})
    raw.set_progress_bar_config(disable=True)
    given = {"image": LINES, "width": SIDE, "height": SIDE, "controlnet_conditioning_scale": wanted.units[0].weight}
    given |= {"control_guidance_start": wanted.units[0].start, "control_guidance_end": wanted.units[0].end}
    assert np.array_equal(np.array(ours), np.array(raw_picture(raw, wanted, **given)))


def test_cancelled_within_a_step_it_leaves_the_pipeline_as_it_was(pipe, control):
    def cancel(progress):
        if progress.step == 2:
            raise Cancelled

    wanted = request()
    expected = latents_of(pipe, wanted, control)
    with pytest.raises(Cancelled):
        latents_of(pipe, wanted, control, cancel)
    assert not pipe.unet._forward_pre_hooks
    assert torch.equal(latents_of(pipe, wanted, control), expected)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A checkpoint and two control models for it."""
    root = tmp_path_factory.mktemp("made")
    half = tiny_sd1()
    save_folder(half, root / "checkpoints" / "tiny")
    for seed, name in ((7, "lines"), (8, "depth")):
        save_control(tiny_control(half.unet, seed), root / "controlnets" / f"{name}.safetensors")
    return root


@pytest.fixture
def root(made, tmp_path):
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


def manager(root, budget=2**30):
    policy = decide(Hardware("cpu", "CPU", 2**34, 1), Settings(memory_budget=budget))
    return PipelineManager(Catalog((root,), root / "checkpoints/tiny"), policy, Settings(memory_budget=budget))


def test_a_control_model_is_loaded_once_pinned_while_it_is_used_and_counted(root):
    models = manager(root)
    with models.pipeline("tiny", "controlnet", controls=["lines", "depth"]) as first:
        report = {resident.name: resident for resident in models.memory().residents}
        assert {name for name, resident in report.items() if resident.pinned} >= {"lines (ControlNet)"}
        assert report["lines (ControlNet)"].bytes > 100_000
        assert set(first.controls) == {"lines", "depth"}
    with models.pipeline("tiny", "controlnet", controls=["lines"]) as again:
        assert again.controls["lines"] is first.controls["lines"]
    assert not any(resident.pinned for resident in models.memory().residents)


def test_a_control_model_leaves_when_room_is_needed_and_comes_back(root):
    models = manager(root, budget=1)
    with models.pipeline("tiny", "controlnet", controls=["lines"]) as loaded:
        weight = next(iter(loaded.controls["lines"].parameters())).clone()
    with models.pipeline("tiny", "text-to-image"):
        assert "lines (ControlNet)" not in {resident.name for resident in models.memory().residents}
    with models.pipeline("tiny", "controlnet", controls=["lines"]) as loaded:
        assert torch.equal(next(iter(loaded.controls["lines"].parameters())), weight)


def test_a_changed_file_is_loaded_anew(root):
    models = manager(root)
    with models.pipeline("tiny", "controlnet", controls=["lines"]) as loaded:
        before = loaded.controls["lines"].controlnet_mid_block.weight.clone()
    shutil.copy(root / "controlnets/depth.safetensors", root / "controlnets/lines.safetensors")
    with models.pipeline("tiny", "controlnet", controls=["lines"]) as loaded:
        assert not torch.equal(loaded.controls["lines"].controlnet_mid_block.weight, before)


def test_what_cannot_be_loaded_leaves_nothing_pinned(root):
    models = manager(root)
    with pytest.raises(ControlNotFound):
        load_with(models, "lines", "nothing")
    save_control(tiny_control(tiny_sd1(width=128).unet), root / "controlnets" / "depth.safetensors")
    with pytest.raises(ControlFamily, match=r"\[32, 128\] channels"):
        load_with(models, "depth")
    (root / "controlnets" / "lines.safetensors").write_bytes(b"")
    with pytest.raises(ControlUnusable):
        load_with(models, "lines")
    assert not any(resident.pinned for resident in models.memory().residents)


def load_with(models, *controls):
    with models.pipeline("tiny", "controlnet", controls=controls):
        pass


def test_with_offload_the_unet_still_follows(root):
    """The weights of both come and go beside each other: here without a device, but by the same hooks."""
    models = manager(root)
    with models.pipeline("tiny", "controlnet", controls=["lines"]) as loaded:
        unit = Followed(ControlUnit(), loaded.controls["lines"], as_numbers(LINES))
        order = []
        hooks = [loaded.pipe.unet.register_forward_pre_hook(lambda *_: order.append("unet's weights"))]
        hooks.append(loaded.controls["lines"].register_forward_hook(lambda *_: order.append("control")))
        with following(loaded.pipe, [unit]):
            loaded.pipe("a", num_inference_steps=1, width=SIDE, height=SIDE, output_type="latent")
        for hook in hooks:
            hook.remove()
    assert order[:2] == ["control", "unet's weights"]
