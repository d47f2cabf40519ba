"""Inpaint: the raw pipeline's pixels under the mask, and the original's beside it."""

import io
from functools import partial

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionInpaintPipeline, StableDiffusionXLInpaintPipeline
from PIL import Image, ImageDraw

from pipelines import masks
from pipelines.denoise import Watch, decode, denoise, encode
from pipelines.engine import samplers
from pipelines.engine.conditioning import Conditioner
from pipelines.engine.preview import LatentMap
from pipelines.inpaint import OutsideChanged, changes_by, check, finished, from_scene, scene_of
from presets.inputs import Inputs, levels, painted
from presets.requests import Inpaint
from tests.checkpoints import tiny_sdxl
from tests.raw import raw_picture

SIZE = (128, 64)
USUAL = LatentMap(matrix=((0.3, 0.2, 0.3), (0.3, 0.5, 0.2), (-0.3, 0.2, 0.3), (-0.2, -0.3, -0.7)), bias=(0, 0, 0))


def scene(size=SIZE, mode="RGB"):
    image = Image.new("RGB", size, (120, 170, 230))
    ImageDraw.Draw(image).rectangle((size[0] // 4, size[1] // 3, size[0] // 2, size[1] - 1), fill=(200, 40, 30))
    image = image.convert(mode)
    if mode == "RGBA":
        image.paste((1, 2, 3, 0), (0, 0, 20, 20))
    return image


def mask(size=SIZE, box=(32, 16, 72, 64)):
    image = Image.new("L", size)
    image.paste(255, box)
    return image


@pytest.fixture(scope="module")
def pipe(starter_pipe):
    pipe = StableDiffusionInpaintPipeline(**starter_pipe.components)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def request(tmp_path, image=None, mask_image=None, **values):
    inputs = Inputs(tmp_path)
    given = {"image": inputs.keep(image or scene())}
    if mask_image is not False:
        given["mask"] = inputs.keep((mask_image or mask()).convert("RGB"))
    usual = {"prompt": "a blue house", "steps": 3, "seed": 7, "grow_mask": 0, "feather_mask": 0, **given}
    return Inpaint(**usual | values).resolved("", (128, 128))


def drawn(pipe, request, image=None, mask_image=None, latent_map=None):
    """The finished picture and its scene."""
    read = levels if request.soft_mask else painted
    seen = scene_of(request, image or scene(), None if mask_image is False else read(mask_image or mask()))
    changes = partial(changes_by, request, seen) if request.soft_mask else None

    def begin(pipe, picture, generator):
        return from_scene(pipe, picture, generator, seen)

    conditioning = Conditioner().encode(pipe, request.prompt, request.negative_prompt)
    latents = denoise(pipe, conditioning, request, Watch(lambda _: None, latent_map=latent_map), begin, changes)
    return finished(seen, decode(pipe, latents, print)), seen


def check_against_raw(pipe, wanted):
    result, seen = drawn(pipe, wanted)
    given = {"image": scene(), "mask_image": mask(), "strength": wanted.strength}
    raw = raw_picture(pipe, wanted, width=wanted.width, height=wanted.height, **given)
    inside = seen.covered > 0
    original = np.asarray(scene(), np.float32)
    expected = np.rint(masks.matched(np.asarray(raw, np.float32), original, seen.covered)).clip(0, 255)
    assert np.array_equal(np.asarray(result.image)[inside], expected.astype(np.uint8)[inside])
    assert np.array_equal(np.asarray(result.image)[~inside], np.asarray(scene())[~inside])


@pytest.mark.parametrize("values", [{}, {"strength": 0.7}, {"sampler": "Euler"}, {"sampler": "Heun"}])
def test_under_the_mask_is_the_raw_pipelines_picture_and_beside_it_the_original(pipe, tmp_path, values):
    check_against_raw(pipe, request(tmp_path, **values))


def test_so_it_is_with_sdxl(tmp_path):
    pipe = StableDiffusionXLInpaintPipeline(**tiny_sdxl().to(torch.float32).components)
    pipe.set_progress_bar_config(disable=True)
    check_against_raw(pipe, request(tmp_path, negative_prompt="red"))


VARIETIES = [
    {},
    {"grow_mask": 5, "feather_mask": 9},
    {"invert_mask": True},
    {"area": "masked", "padding": 4, "width": 64, "height": 64},
    {"content": "fill", "strength": 0.7},
    {"content": "noise", "strength": 0.7},
    {"content": "nothing", "strength": 0.7},
    {"extend_left": 13, "extend_bottom": 40},
    {"soft_mask": True, "grow_mask": 3, "feather_mask": 16},
    {"soft_mask": True, "area": "masked", "padding": 4, "width": 64, "height": 64, "strength": 0.7},
    {"soft_mask": True, "invert_mask": True, "extend_top": 20, "content": "fill"},
]


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("values", VARIETIES, ids=lambda values: "-".join(values) or "plain")
def test_outside_of_the_mask_not_one_pixel_changes(pipe, tmp_path, values, mode):
    image, small = scene((131, 77), mode), mask((131, 77), (40, 30, 70, 60))
    wanted = request(tmp_path, image, small, **values)
    result, seen = drawn(pipe, wanted, image, small)
    assert result.notes == ("0 px changed outside the mask",)
    assert result.image.size == wanted.picture_size
    left, top, _, _ = wanted.extensions
    kept = np.asarray(result.image.crop((left, top, left + 131, top + 77)))
    spared = seen.covered[top : top + 77, left : left + 131] == 0
    assert spared.any() and np.array_equal(kept[spared], np.asarray(image)[spared])
    assert not np.array_equal(kept, np.asarray(image)) or any(wanted.extensions)


def test_outpainting_needs_no_mask_and_draws_beyond_the_sides(pipe, tmp_path):
    wanted = request(tmp_path, mask_image=False, extend_right=64)
    result, _ = drawn(pipe, wanted, mask_image=False)
    new = np.asarray(result.image)[:, 136:]
    assert result.image.size == (192, 64)
    assert np.array_equal(np.asarray(result.image)[:, :120], np.asarray(scene())[:, :120])
    assert new.std() > 3


@pytest.mark.parametrize("content", ["original", "fill", "noise", "nothing"])
def test_what_the_masked_part_begins_as_makes_a_difference(pipe, tmp_path, content):
    own, _ = drawn(pipe, request(tmp_path, strength=0.7))
    other, _ = drawn(pipe, request(tmp_path, strength=0.7, content=content))
    assert np.array_equal(np.asarray(own.image), np.asarray(other.image)) == (content == "original")


def test_a_saved_file_that_is_not_the_original_outside_of_the_mask_is_an_error(pipe, tmp_path):
    result, seen = drawn(pipe, request(tmp_path))
    result.image.save(tmp_path / "right.png")
    check(seen, tmp_path / "right.png")
    result.image.putpixel((0, 0), (0, 0, 0))
    result.image.save(tmp_path / "wrong.png")
    with pytest.raises(OutsideChanged, match="in 1 pixels"):
        check(seen, tmp_path / "wrong.png")


def test_a_checkpoint_made_for_inpainting_is_shown_the_mask_and_what_is_beside_it(starter_pipe, tmp_path):
    from diffusers import UNet2DConditionModel

    torch.manual_seed(0)
    config = {**starter_pipe.unet.config, "in_channels": 9}
    unet = UNet2DConditionModel.from_config(config).eval()
    pipe = StableDiffusionInpaintPipeline(**starter_pipe.components | {"unet": unet})
    pipe.set_progress_bar_config(disable=True)
    seen = []
    unet.register_forward_hook(lambda _, arguments, __: seen.append(arguments[0]))
    result, _ = drawn(pipe, request(tmp_path), latent_map=USUAL)
    assert seen[0].shape[1] == 9
    assert seen[0][0, 4].bool().tolist() == (np.asarray(mask())[::8, ::8] > 0).tolist()
    assert result.notes == ("0 px changed outside the mask",)


@pytest.mark.parametrize("channels", [4, 9])
@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_guidance_that_ends_early_leaves_one_picture_to_denoise(starter_pipe, tmp_path, family, channels):
    from diffusers import UNet2DConditionModel

    parts = starter_pipe.components if family == "sd1" else tiny_sdxl().to(torch.float32).components
    unet = UNet2DConditionModel.from_config({**parts["unet"].config, "in_channels": channels}).eval()
    kind = StableDiffusionInpaintPipeline if family == "sd1" else StableDiffusionXLInpaintPipeline
    pipe = kind(**parts | {"unet": unet})
    pipe.set_progress_bar_config(disable=True)
    rows = []
    unet.register_forward_hook(lambda _, arguments, __: rows.append(len(arguments[0])))
    result, _ = drawn(pipe, request(tmp_path, steps=4, guidance_end=0.5), latent_map=USUAL)
    assert rows == [2, 2, 1, 1]
    assert result.notes == ("0 px changed outside the mask",)


def test_alpha_goes_into_the_saved_file(pipe, tmp_path):
    image = scene(mode="RGBA")
    result, seen = drawn(pipe, request(tmp_path, image), image)
    buffer = io.BytesIO()
    result.image.save(buffer, "PNG")
    (tmp_path / "a.png").write_bytes(buffer.getvalue())
    check(seen, tmp_path / "a.png")
    assert Image.open(tmp_path / "a.png").getpixel((0, 0)) == (1, 2, 3, 0)


def grey(light, size=SIZE):
    image = mask(size)
    return image.point([0] * 255 + [light])


@pytest.mark.parametrize("sampler", ["DPM++ 2M", "Euler", "Heun"])
def test_a_soft_mask_that_is_white_is_an_ordinary_one(pipe, tmp_path, sampler):
    hard, _ = drawn(pipe, request(tmp_path, sampler=sampler, steps=4))
    soft, _ = drawn(pipe, request(tmp_path, sampler=sampler, steps=4, soft_mask=True))
    assert np.array_equal(np.asarray(hard.image), np.asarray(soft.image))


def test_the_darker_a_soft_mask_is_the_less_is_redrawn(pipe, tmp_path):
    original = np.asarray(scene()).astype(int)
    changes = []
    for light in (255, 90, 30):
        result, _ = drawn(pipe, request(tmp_path, steps=8, soft_mask=True), mask_image=grey(light))
        changes.append(np.abs(np.asarray(result.image).astype(int) - original)[:, 40:64].mean())
    assert changes[0] > 1.5 * changes[1] > 2 * changes[2] > 0


@torch.no_grad()
def by_the_paper(pipe, wanted, strengths):
    """Algorithm 1 of Differential Diffusion with the sampler Euler, without guidance."""
    generator = torch.Generator("cpu").manual_seed(wanted.seed)
    original = encode(pipe, scene(), generator)
    noise = torch.randn(original.shape, generator=generator)
    scheduler = samplers.build(wanted.sampler, wanted.schedule, pipe.scheduler.config)
    scheduler.set_timesteps(wanted.steps)
    words = Conditioner().encode(pipe, wanted.prompt, None).prompt
    latents = noise * scheduler.init_noise_sigma
    for done, step in enumerate(scheduler.timesteps, start=1):
        answer = pipe.unet(scheduler.scale_model_input(latents, step), step, words, return_dict=False)[0]
        latents = scheduler.step(answer, step, latents, return_dict=False)[0]
        beside = original + scheduler.sigmas[done] * noise
        latents = torch.where(strengths > 1 - done / wanted.steps, latents, beside)
    return latents


def test_it_is_the_papers_algorithm(pipe, tmp_path):
    wanted = request(tmp_path, steps=5, soft_mask=True, sampler="Euler", guidance_scale=1.0)
    ramp = Image.linear_gradient("L").resize(SIZE)
    seen = scene_of(wanted, scene(), ramp)
    conditioning = Conditioner().encode(pipe, wanted.prompt, None)
    begin, changes = partial(from_scene, scene=seen), partial(changes_by, wanted, seen)
    own = denoise(pipe, conditioning, wanted, Watch(lambda _: None), begin, changes)
    blocks = torch.from_numpy(masks.means(np.asarray(ramp, np.float32) / 255, 8))
    assert torch.allclose(own, by_the_paper(pipe, wanted, blocks), atol=1e-4)


def test_where_a_soft_mask_is_black_nothing_changes(pipe, tmp_path):
    ramp = Image.linear_gradient("L").resize(SIZE).point([0] * 100 + [*range(156)])
    result, seen = drawn(pipe, request(tmp_path, soft_mask=True), mask_image=ramp)
    black = np.asarray(ramp) == 0
    assert black.any() and np.array_equal(np.asarray(result.image)[black], np.asarray(scene())[black])
    assert np.array_equal(seen.covered == 0, black)


def test_guidance_that_ends_early_leaves_a_soft_mask_of_one_row(pipe, tmp_path):
    result, _ = drawn(pipe, request(tmp_path, steps=4, guidance_end=0.5, soft_mask=True), mask_image=grey(150))
    assert result.notes == ("0 px changed outside the mask",)


@pytest.mark.parametrize("content", ["fill", "noise", "nothing"])
def test_where_a_soft_mask_is_grey_the_original_is_what_is_begun_with(pipe, tmp_path, content):
    half = mask()
    half.paste(200, (32, 16, 48, 64))
    begun = []
    for name in ("original", content):
        wanted = request(tmp_path, content=name, soft_mask=True)
        seen = scene_of(wanted, scene(), half)
        begun.append(from_scene(pipe, wanted, torch.Generator().manual_seed(7), seen)["image"][..., 4:, :])
    if content != "fill":  # the encoder sees all at once
        assert torch.equal(begun[0][..., :6], begun[1][..., :6])
    assert not torch.equal(begun[0][..., 6:9], begun[1][..., 6:9])
