"""What is made larger drawn anew in tiles: image to image tile by tile, without seams, cancelled within a step."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from PIL import Image, ImageDraw

from pipelines.engine.catalog import STARTER, Catalog
from pipelines.engine.conditioning import Conditioner
from pipelines.engine.context import Context
from pipelines.engine.errors import Cancelled
from pipelines.engine.jobs import Progress, Saved
from pipelines.engine.manager import PipelineManager
from pipelines.engine.policy import Hardware, decide
from pipelines.image_to_image import run as draw_image_to_image
from pipelines.redrawing import coloured_as
from pipelines.upscale import run
from presets.gallery import Gallery
from presets.inputs import Inputs
from presets.metadata import read_request
from presets.requests import ImageToImage
from presets.settings import Settings
from presets.upscale import Upscale
from tests.controls import save_control, tiny_control

USUAL = {
    "upscaler": "lanczos", "factor": 1.0, "redraw_strength": 0.5, "steps": 4, "seed": 7, "checkpoint": "storybook",
    "prompt": "a house", "redraw_tile": 64,
}  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    unet = UNet2DConditionModel.from_pretrained(STARTER / "unet", local_files_only=True)
    save_control(tiny_control(unet, embedding=(16, 32, 64, 128)), root / "controlnets" / "tile.safetensors")
    return root


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return Settings(home=tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def manager(root, home):
    return PipelineManager(Catalog((root,), STARTER), decide(Hardware("cpu", "a CPU", 2**33, 1), home), home)


@pytest.fixture
def context(manager, home):
    policy = decide(Hardware("cpu", "a CPU", 2**33, 1), home)
    parts = (manager, policy, Conditioner(), Gallery(home.pictures), Inputs(home.inputs))
    return Context(*parts, [].append, lambda: False)


def events_of(context):
    return context.send.__self__


def scene(width, height, mode="RGB"):
    image = Image.linear_gradient("L").resize((width, height)).convert("RGB")
    image = Image.blend(image, Image.new("RGB", image.size, (60, 150, 220)), 0.6)
    ImageDraw.Draw(image).ellipse((width // 4, height // 4, width * 3 // 4, height * 3 // 4), fill=(200, 40, 30))
    return image.convert(mode)


def made(context, runner, request):
    """The saved picture of a job."""
    runner(request, context)
    (saved,) = [event for event in events_of(context) if isinstance(event, Saved)]
    events_of(context).clear()
    assert read_request(saved.path).request == request
    with Image.open(saved.path) as image:
        image.load()
    return image


def redrawn(context, picture, **values):
    return made(context, run, Upscale(image=context.inputs.keep(picture), **{**USUAL, **values}))


def numbers(image):
    return np.asarray(image).astype(int)


def test_one_tile_is_image_to_image(context):
    given = scene(64, 64)
    own = redrawn(context, given, keep_colours=False)
    shared = ("steps", "seed", "checkpoint", "prompt")
    values = {name: USUAL[name] for name in shared} | {"image": context.inputs.keep(given), "strength": 0.5}
    other = made(context, draw_image_to_image, ImageToImage(**values, width=64, height=64))
    assert np.array_equal(numbers(own), numbers(other))


def test_each_tile_has_the_seed_after_the_one_before(context):
    given = scene(128, 64)
    both = numbers(redrawn(context, given, redraw_overlap=0, keep_colours=False))
    right = numbers(redrawn(context, given.crop((64, 0, 128, 64)), seed=8, keep_colours=False))
    assert np.array_equal(both[:, 64:], right)


def test_the_same_request_makes_the_same_pixels_and_another_seed_others(context):
    first, again, other = (numbers(redrawn(context, scene(100, 64), seed=seed)) for seed in (7, 7, 2**53 - 1))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def steps_of(image):
    """How far each column is from the next, in the mean of its pixels."""
    return np.abs(np.diff(image, axis=1)).mean(axis=(0, 2))


def test_next_to_no_strength_leaves_no_seam_where_the_whole_has_none(context):
    little = {"redraw_strength": 0.02, "steps": 50}
    given = scene(256, 128)
    tiled = numbers(redrawn(context, given, redraw_tile=128, **little))
    whole = numbers(redrawn(context, given, redraw_tile=256, **little))
    butted = numbers(redrawn(context, given, redraw_tile=128, redraw_overlap=0.0, keep_colours=False, **little))
    assert np.abs(tiled - whole).mean() < 8  # models see a tile otherwise than the whole
    assert (steps_of(tiled) - steps_of(whole)).max() < 1
    assert (steps_of(butted) - steps_of(whole)).max() > 3


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("size", [(131, 77), (20, 90)])
def test_a_picture_between_all_sizes_keeps_its_own_and_its_alpha(context, size, mode):
    given = scene(*size, mode)
    if mode == "RGBA":
        given.paste((1, 2, 3, 0), (0, 0, 10, 10))
    result = redrawn(context, given)
    assert (result.size, result.mode) == (size, mode)
    assert mode == "RGB" or np.array_equal(numbers(result)[..., 3], numbers(given)[..., 3])


def test_broad_colours_stay_and_only_with_keep_colours(context):
    given = Image.new("RGB", (128, 128), (20, 120, 40))
    drift = []
    for keep in (True, False):
        result = redrawn(context, given, redraw_tile=128, keep_colours=keep)
        drift.append(np.abs(numbers(result.reduce(32)) - (20, 120, 40)).mean())
    assert drift[0] < 6 and drift[0] < drift[1] / 3


def test_colours_are_taken_over_and_detail_is_not():
    given = Image.new("RGB", (64, 64), (90, 90, 90))
    dots = Image.fromarray(np.tile(np.array([[0, 60], [60, 0]], np.uint8), (32, 32))).convert("RGB")
    result = numbers(coloured_as(dots, given, 8))
    assert abs(result.mean() - 90) < 1 and result.std() == pytest.approx(30, abs=2)


def test_the_steps_of_all_tiles_are_counted_as_one_run_with_previews_of_the_whole(context):
    request = Upscale(image=context.inputs.keep(scene(128, 64)), **{**USUAL, "redraw_overlap": 0.0})
    run(request, replace(context, policy=replace(context.policy, preview_interval=1e-6)))
    told = [event for event in events_of(context) if isinstance(event, Progress)]
    assert [(event.step, event.steps) for event in told] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    with Image.open(io.BytesIO(told[0].preview)) as preview:
        assert preview.width == 2 * preview.height


def test_a_cancelled_job_ends_within_a_step_and_the_next_is_whole(context):
    request = Upscale(image=context.inputs.keep(scene(128, 64)), **USUAL)

    def is_cancelled():
        return any(isinstance(event, Progress) and event.step == 3 for event in events_of(context))

    with pytest.raises(Cancelled):
        run(request, replace(context, is_cancelled=is_cancelled))
    assert [event.step for event in events_of(context) if isinstance(event, Progress)][-1] == 3
    events_of(context).clear()
    assert redrawn(context, scene(128, 64)).size == (128, 64)


def test_a_tile_control_sees_the_tile_and_acts_on_it(context, monkeypatch):
    from pipelines import redrawing

    seen, following = [], redrawing.following
    monkeypatch.setattr(redrawing, "following", lambda pipe, units: (seen.extend(units), following(pipe, units))[1])
    given = scene(64, 64)
    plain = redrawn(context, given)
    held = redrawn(context, given, tile_control="tile", tile_control_weight=0.7)
    (followed,) = seen
    assert followed.unit.weight == 0.7
    assert torch.equal(followed.picture[0], torch.from_numpy(np.array(given)).permute(2, 0, 1) / 255)
    assert not np.array_equal(numbers(plain), numbers(held))


def test_it_is_drawn_by_the_checkpoint_that_is_in_memory(context):
    with context.models.pipeline("storybook", "text-to-image") as loaded:
        unet, before = loaded.pipe.unet, context.models.bytes_loaded
    redrawn(context, scene(64, 64))
    with context.models.pipeline("storybook", "text-to-image") as loaded:
        assert loaded.pipe.unet is unet and context.models.bytes_loaded <= before
