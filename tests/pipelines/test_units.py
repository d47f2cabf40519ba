"""Control units beside a given picture: the raw pipelines' pixels, the picture itself followed, and each round anew."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import (
    StableDiffusionControlNetImg2ImgPipeline,
    StableDiffusionControlNetInpaintPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    UNet2DConditionModel,
)
from PIL import Image, ImageDraw

from pipelines.control import Followed, as_numbers, following
from pipelines.denoise import Watch, decode, denoise
from pipelines.engine.catalog import Catalog
from pipelines.engine.conditioning import Conditioner
from pipelines.engine.context import Context
from pipelines.engine.jobs import Saved
from pipelines.engine.manager import PipelineManager
from pipelines.engine.policy import Hardware, decide
from pipelines.image_to_image import from_picture
from pipelines.inpaint import from_scene, scene_of
from pipelines.runners import RUNNERS
from pipelines.units import Own, picture_of, resized_to
from presets.controlnet import ControlUnit
from presets.gallery import Gallery
from presets.inputs import Inputs
from presets.requests import ImageToImage, Inpaint
from presets.settings import Settings
from tests.checkpoints import save_folder, tiny_sd1
from tests.controls import save_control, tiny_control
from tests.raw import raw_picture

SIDE = 64
SCENE = Image.new("RGB", (SIDE, SIDE), (120, 170, 230))
ImageDraw.Draw(SCENE).rectangle((12, 20, 40, 60), fill=(200, 40, 30))
LINES = Image.new("RGB", (SIDE, SIDE))
ImageDraw.Draw(LINES).rectangle((12, 20, 40, 60), outline="white")
MASK = Image.new("L", (SIDE, SIDE))
MASK.paste(255, (16, 16, 48, 64))
USUAL = {"prompt": "a house", "negative_prompt": "blue", "steps": 4, "seed": 7, "sampler": "Euler"}


@pytest.fixture(scope="module")
def pipe():
    return tiny_sd1().to(torch.float32)


@pytest.fixture(scope="module")
def control(pipe):
    return tiny_control(pipe.unet)


def quiet(kind, parts):
    pipe = kind(**parts)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def ours(pipe, wanted, begin, control):
    conditioning = Conditioner().encode(pipe, wanted.prompt, wanted.negative_prompt)
    with following(pipe, [Followed(ControlUnit(weight=0.8), control, as_numbers(LINES))]):
        return np.array(decode(pipe, denoise(pipe, conditioning, wanted, Watch(lambda _: None), begin), print))


def test_image_to_image_with_a_unit_is_the_raw_pipelines(pipe, control, tmp_path):
    wanted = ImageToImage(**USUAL, image=Inputs(tmp_path).keep(SCENE), strength=0.5).resolved("", (SIDE, SIDE))
    own = quiet(StableDiffusionImg2ImgPipeline, pipe.components)
    raw = quiet(StableDiffusionControlNetImg2ImgPipeline, {**pipe.components, "controlnet": control})
    given = {"image": SCENE, "control_image": LINES, "strength": 0.5, "controlnet_conditioning_scale": 0.8}
    made = ours(own, wanted, lambda *given: from_picture(*given, given=SCENE), control)
    assert np.array_equal(made, np.array(raw_picture(raw, wanted, width=SIDE, height=SIDE, **given)))


def test_inpainting_with_a_unit_is_the_raw_pipelines(pipe, control, tmp_path):
    inputs = Inputs(tmp_path)
    given = {"image": inputs.keep(SCENE), "mask": inputs.keep(MASK.convert("RGB")), "grow_mask": 0, "feather_mask": 0}
    wanted = Inpaint(**USUAL, **given).resolved("", (SIDE, SIDE))
    scene = scene_of(wanted, SCENE, MASK)
    own = quiet(StableDiffusionInpaintPipeline, pipe.components)
    raw = quiet(StableDiffusionControlNetInpaintPipeline, {**pipe.components, "controlnet": control})
    given = {"image": SCENE, "mask_image": MASK, "control_image": LINES, "controlnet_conditioning_scale": 0.8}
    made = ours(own, wanted, lambda *given: from_scene(*given, scene=scene), control)
    assert np.array_equal(made, np.array(raw_picture(raw, wanted, width=SIDE, height=SIDE, strength=1.0, **given)))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two checkpoints, the second made for inpainting, and a control model for both."""
    root = tmp_path_factory.mktemp("models")
    pipe = tiny_sd1()
    save_folder(pipe, root / "checkpoints" / "tiny")
    save_control(tiny_control(pipe.unet), root / "controlnets" / "lines.safetensors")
    torch.manual_seed(0)
    unet = UNet2DConditionModel.from_config({**pipe.unet.config, "in_channels": 9}).to(torch.float16)
    save_folder(StableDiffusionInpaintPipeline(**{**pipe.components, "unet": unet}), root / "checkpoints" / "masked")
    settings = Settings(home=root, dtype="float32", threads=1)
    policy = decide(Hardware("cpu", "a CPU", 2**34, 1), settings)
    return PipelineManager(Catalog((root,), root / "none"), policy, settings), policy


@pytest.fixture
def context(models, tmp_path):
    return Context(*models, Conditioner(), Gallery(tmp_path), Inputs(tmp_path / "in"), [].append, lambda: False)


def drawn(context, kind, checkpoint="tiny", **values):
    inputs = context.inputs
    masked = {"mask": inputs.keep(MASK.convert("RGB"))} if kind is Inpaint else {}
    wanted = kind(**{**USUAL, "image": inputs.keep(SCENE), **masked, **values}).resolved(checkpoint, (SIDE, SIDE))
    RUNNERS[kind](wanted, context)
    saved = [event for event in context.send.__self__ if isinstance(event, Saved)][-1]
    return np.array(Image.open(saved.path))


@pytest.mark.parametrize(("kind", "checkpoint"), [(ImageToImage, "tiny"), (Inpaint, "tiny"), (Inpaint, "masked")])
def test_a_unit_changes_what_is_drawn(context, kind, checkpoint):
    unit = {"control": "lines", "preprocessor": "canny"}
    plain, without, followed = (
        drawn(context, kind, checkpoint, units=units) for units in ((), ({**unit, "weight": 0.0},), (unit,))
    )
    assert np.array_equal(plain, without) and not np.array_equal(plain, followed)
    beside = np.asarray(MASK) == 0
    assert kind is not Inpaint or np.array_equal(followed[:, :8], np.asarray(SCENE)[:, :8]) and beside.any()


def test_a_unit_without_a_picture_follows_the_given_one(context):
    unit = {"control": "lines", "preprocessor": "canny"}
    own = drawn(context, ImageToImage, units=(unit,))
    other = drawn(context, ImageToImage, units=({**unit, "picture": context.inputs.keep(SCENE)},))
    assert np.array_equal(own, other)


def test_where_a_part_is_seen_units_show_that_part(context):
    unit = {"control": "lines", "preprocessor": "canny"}
    part = {"area": "masked", "padding": 4, "extend_left": 24, "width": SIDE, "height": SIDE}
    own = drawn(context, Inpaint, units=(unit,), **part)
    frame = Image.fromarray(np.pad(np.asarray(SCENE), ((0, 0), (24, 0), (0, 0)), mode="edge"))
    other = drawn(context, Inpaint, units=({**unit, "picture": context.inputs.keep(frame)},), **part)
    assert np.array_equal(own, other) and not np.array_equal(own, drawn(context, Inpaint, **part))


def test_each_round_follows_from_its_first_step_on(context):
    unit = {"control": "lines", "preprocessor": "canny", "end": 0.5}
    later = {"control": "lines", "preprocessor": "canny", "start": 0.5}
    rounds = {"rounds": 2, "strength": 0.5, "final_strength": 1.0}
    plain, first, last = (drawn(context, ImageToImage, units=units, **rounds) for units in ((), (unit,), (later,)))
    assert not np.array_equal(first, last) and not np.array_equal(plain, first) and not np.array_equal(plain, last)


def test_a_control_is_asked_in_every_run_anew(pipe, control):
    asked = []
    hook = control.register_forward_hook(lambda *_: asked.append(1))
    with following(pipe, [Followed(ControlUnit(end=0.5), control, as_numbers(LINES))]):
        for steps in (2, 4, 4):
            pipe(prompt="a", num_inference_steps=steps, width=SIDE, height=SIDE, output_type="latent")
    hook.remove()
    assert len(asked) == 1 + 2 + 2


def test_the_resolution_of_a_unit_counts_where_it_is_not_pixel_perfect(context):
    unit = ControlUnit(preprocessor="canny", pixel_perfect=False, resolution=256)
    coarse = unit.model_copy(update={"resolution": 64})
    fit, own = resized_to((SIDE, SIDE)), Own(SCENE, "crop")
    fine = picture_of(unit, replace(context), fit, own)
    assert fine.size == (SIDE, SIDE) and fine != picture_of(coarse, context, fit, own)
