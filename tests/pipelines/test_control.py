"""A denoiser that follows control pictures, against diffusers' own pipelines."""

import pytest
import torch
from diffusers import (
    MultiControlNetModel,
    StableDiffusionAdapterPipeline,
    StableDiffusionControlNetPipeline,
    StableDiffusionXLAdapterPipeline,
    StableDiffusionXLControlNetPipeline,
    StableDiffusionXLControlNetUnionPipeline,
)
from PIL import Image

from pipelines.control import Followed, as_numbers, following, union_type
from presets.controlnet import ControlUnit
from tests.checkpoints import tiny_sd1, tiny_sdxl
from tests.controls import tiny_adapter, tiny_control, tiny_union

SIDE = 32


@pytest.fixture(scope="module")
def sd1():
    return tiny_sd1().to(torch.float32)


@pytest.fixture(scope="module")
def sdxl():
    return tiny_sdxl().to(torch.float32)


def outline(seed: int = 0) -> Image.Image:
    noise = torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(seed))
    pixels = ((noise > 0).float() * 255).byte().permute(1, 2, 0).numpy()
    return Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.NEAREST)


def latents(pipe, steps: int = 4, guidance: float = 5.0, **more) -> torch.Tensor:
    pipe.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(3)
    return pipe(
        prompt="a house", num_inference_steps=steps, guidance_scale=guidance, generator=generator, output_type="latent",
        height=SIDE, width=SIDE, return_dict=False, **more,
    )[0]  # fmt: skip


def followed(pipe, *units: Followed, **more) -> torch.Tensor:
    with following(pipe, units):
        return latents(pipe, **more)


def unit_of(model, seed: int = 0, **settings) -> Followed:
    return Followed(ControlUnit(**settings), model, as_numbers(outline(seed)))


def with_control(pipe, control, kind):
    return kind(**{**pipe.components, "controlnet": control})


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
@pytest.mark.parametrize("guidance", [1.0, 5.0])
def test_a_balanced_unit_is_what_diffusers_does(family, guidance, request):
    pipe = request.getfixturevalue(family)
    kind = StableDiffusionControlNetPipeline if family == "sd1" else StableDiffusionXLControlNetPipeline
    control = tiny_control(pipe.unet)
    ours = followed(pipe, unit_of(control, weight=0.7, start=0.25, end=0.75), guidance=guidance)
    theirs = latents(
        with_control(pipe, control, kind), image=outline(), controlnet_conditioning_scale=0.7, guidance=guidance,
        control_guidance_start=0.25, control_guidance_end=0.75,
    )  # fmt: skip
    assert torch.equal(ours, theirs)
    assert not torch.equal(ours, latents(pipe, guidance=guidance))


def test_several_units_add_up_as_diffusers_has_it(sd1):
    controls = [tiny_control(sd1.unet, seed) for seed in (7, 8)]
    ours = followed(sd1, unit_of(controls[0], weight=0.5), unit_of(controls[1], seed=1, end=0.5))
    both = with_control(sd1, MultiControlNetModel(controls), StableDiffusionControlNetPipeline)
    theirs = latents(
        both, image=[outline(), outline(1)], controlnet_conditioning_scale=[0.5, 1.0], control_guidance_end=[1.0, 0.5]
    )
    assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize(("preprocessor", "number"), [("openpose", 0), ("depth", 1), ("canny", 3), ("none", 3)])
def test_a_union_is_told_what_the_picture_shows(sdxl, preprocessor, number):
    union = tiny_union(sdxl.unet)
    ours = followed(sdxl, unit_of(union, preprocessor=preprocessor))
    theirs = latents(
        with_control(sdxl, union, StableDiffusionXLControlNetUnionPipeline),
        control_image=[outline()],
        control_mode=[number],
    )
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_what_a_union_is_told_can_be_chosen():
    assert union_type(ControlUnit(preprocessor="canny")) == "lines"
    assert union_type(ControlUnit(preprocessor="canny", union_type="tile")) == "tile"


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_an_adapter_is_what_diffusers_does(family, request):
    pipe = request.getfixturevalue(family)
    xl = family == "sdxl"
    kind = StableDiffusionXLAdapterPipeline if xl else StableDiffusionAdapterPipeline
    adapter = tiny_adapter(pipe.unet, "full_adapter_xl" if xl else "full_adapter", side=4 if xl else 2)
    ours = followed(pipe, unit_of(adapter, weight=0.8))
    parts = {name: part for name, part in pipe.components.items() if xl or name != "image_encoder"}
    theirs = latents(kind(**parts, adapter=adapter), image=outline(), adapter_conditioning_scale=0.8)
    torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-3)
    assert not torch.equal(ours, latents(pipe))


def test_a_controlnet_and_an_adapter_act_together(sd1):
    control, adapter = unit_of(tiny_control(sd1.unet)), unit_of(tiny_adapter(sd1.unet, side=2))
    alone = [followed(sd1, control), followed(sd1, adapter)]
    both = followed(sd1, control, adapter)
    assert not any(torch.allclose(both, one, atol=1e-3) for one in alone)


@pytest.mark.parametrize("make", [tiny_control, lambda unet: tiny_adapter(unet, side=2)], ids=["control", "adapter"])
def test_each_mode_draws_another_picture_and_balanced_is_the_strongest_without_guidance(sd1, make):
    model = make(sd1.unet)
    plain = latents(sd1, guidance=1.0)
    far = {
        mode: (followed(sd1, unit_of(model, mode=mode), guidance=1.0) - plain).norm().item()
        for mode in ("balanced", "prompt")
    }
    assert far["balanced"] > far["prompt"] > 0
    guided = [followed(sd1, unit_of(model, mode=mode)) for mode in ("balanced", "prompt", "control")]
    assert not torch.allclose(guided[0], guided[1], atol=1e-3)
    assert not torch.allclose(guided[1], guided[2], atol=1e-3)


def test_where_control_counts_more_only_the_prompts_half_follows(sd1):
    seen = []
    hook = sd1.unet.register_forward_pre_hook(
        lambda _, __, named: seen.append(named["mid_block_additional_residual"]), with_kwargs=True
    )
    followed(sd1, unit_of(tiny_control(sd1.unet), mode="control"), steps=1)
    hook.remove()
    negative, positive = seen[0].chunk(2)
    assert not negative.any()
    assert positive.any()


def test_weight_0_and_a_run_without_units_are_the_plain_picture_and_nothing_is_left_behind(sd1):
    plain = latents(sd1)
    assert torch.equal(followed(sd1, unit_of(tiny_control(sd1.unet), weight=0)), plain)
    assert torch.equal(followed(sd1), plain)
    followed(sd1, unit_of(tiny_control(sd1.unet)))
    assert not sd1.unet._forward_pre_hooks
    assert torch.equal(latents(sd1), plain)
