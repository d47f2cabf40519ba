"""Pictures redrawn and inpainted with every family that can: from files, through the runners."""

import numpy as np
import pytest
from PIL import Image

from pipelines.engine.catalog import Catalog
from pipelines.engine.conditioning import Conditioner
from pipelines.engine.context import Context
from pipelines.engine.jobs import Progress, Saved, Warned
from pipelines.engine.manager import PipelineManager
from pipelines.engine.policy import Hardware, decide
from pipelines.runners import RUNNERS
from presets.errors import InvalidField
from presets.gallery import Gallery
from presets.inputs import Inputs
from presets.requests import ImageToImage, Inpaint, TextToImage
from presets.settings import Settings
from tests.checkpoints import save_folder, save_single_file, tiny_flux, tiny_refiner, tiny_sd1, tiny_sd3, tiny_sdxl

MAKERS = {"sd1": tiny_sd1, "sdxl": tiny_sdxl, "sd3": tiny_sd3, "flux": tiny_flux}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    for name, make in MAKERS.items():
        save_folder(make(), root / f"checkpoints/{name}")
    save_single_file(tiny_refiner(), root / "checkpoints/refiner.safetensors")
    settings = Settings(home=root, dtype="float32", threads=1)
    policy = decide(Hardware("cpu", "a machine", 2**34, 1), settings)
    return PipelineManager(Catalog((root,), root), policy, settings), policy


@pytest.fixture
def context(models, tmp_path):
    """A context whose events are kept in `context.send.__self__`."""
    return Context(*models, Conditioner(), Gallery(tmp_path), Inputs(tmp_path / "in"), [].append, lambda: False)


def made(context, kind, checkpoint, **values):
    """The events of a job on a picture whose left half is masked."""
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 96, 3), np.uint8))
    request = kind(
        prompt="a cat", seed=3, steps=4, sampler="Euler", image=context.inputs.keep(picture), guidance_scale=4, **values
    )
    RUNNERS[kind](request.resolved(checkpoint, (64, 64), 16), context)
    return context.send.__self__


def draw_larger(context, checkpoint, **values):
    """A job that draws a picture and draws on it in a larger size."""
    usual = {"prompt": "a cat", "seed": 3, "steps": 4, "sampler": "Euler", "hires_factor": 1.5, "hires_strength": 0.5}
    RUNNERS[TextToImage](TextToImage(**usual | values).resolved(checkpoint, (64, 64), 16), context)


@pytest.mark.parametrize("checkpoint", [*MAKERS, "refiner"])
def test_every_family_redraws_a_picture_in_its_size(context, checkpoint):
    events = made(context, ImageToImage, checkpoint, strength=0.5)
    (saved,) = [event for event in events if isinstance(event, Saved)]
    assert Image.open(saved.path).size == (96, 64)
    steps = [event for event in events if isinstance(event, Progress)]
    assert [(event.step, event.steps) for event in steps] == [(1, 2), (2, 2)]
    assert steps[0].preview


@pytest.mark.parametrize("checkpoint", MAKERS)
@pytest.mark.parametrize("kind", [ImageToImage, Inpaint, TextToImage])
def test_guidance_that_is_to_end_early_does_or_is_told_to_stay(context, checkpoint, kind):
    if kind is TextToImage:
        draw_larger(context, checkpoint, guidance_end=0.5)
    else:
        given = {"extend_left": 16} if kind is Inpaint else {}
        made(context, kind, checkpoint, strength=1, guidance_end=0.5, **given)
    events = context.send.__self__
    (saved,) = [event for event in events if isinstance(event, Saved)]
    told = [event.message for event in events if isinstance(event, Warned) and "uidance" in event.message]
    assert len(told) == (1 if checkpoint == "sd3" else 0)
    assert all(message in saved.warnings for message in told)


@pytest.mark.parametrize("checkpoint", MAKERS)
def test_every_family_inpaints_and_leaves_the_rest(context, checkpoint):
    mask = Image.new("RGB", (96, 64))
    mask.paste("white", (0, 0, 48, 64))
    events = made(context, Inpaint, checkpoint, mask=context.inputs.keep(mask), grow_mask=0, feather_mask=0)
    (saved,) = [event for event in events if isinstance(event, Saved)]
    assert saved.notes == ("0 px changed outside the mask",)
    before, after = (np.asarray(image) for image in (context.inputs.open(saved.request.image), Image.open(saved.path)))
    assert np.array_equal(before[:, 48:], after[:, 48:])
    assert (before[:, :48] != after[:, :48]).any(axis=-1).mean() > 0.9


@pytest.mark.parametrize("checkpoint", [name for name in MAKERS if name != "flux"])
def test_a_soft_mask_redraws_by_its_levels(context, checkpoint):
    pictures = []
    for light, soft in ((255, False), (255, True), (60, True)):
        mask = context.inputs.keep(Image.new("RGB", (96, 64), (light,) * 3))
        made(context, Inpaint, checkpoint, mask=mask, soft_mask=soft)
        saved = [event for event in context.send.__self__ if isinstance(event, Saved)][-1]
        pictures.append(np.asarray(Image.open(saved.path)))
    hard, white, dark = pictures
    assert np.array_equal(hard, white) and not np.array_equal(white, dark)


def test_families_that_take_no_other_mask_at_each_step_refuse_a_soft_one(models):
    manager, _ = models
    with pytest.raises(InvalidField, match=r"Soft mask cannot be used with 'flux', a Flux\.1 checkpoint") as refused:
        manager._catalog.find("flux").check_soft_mask()
    assert (refused.value.field, refused.value.code) == ("soft_mask", "E-MASK")
    manager._catalog.find("sd3").check_soft_mask()


@pytest.mark.parametrize("checkpoint", MAKERS)
@pytest.mark.parametrize("upscaler", ["latent", "lanczos"])
def test_every_family_draws_on_in_a_larger_size(context, checkpoint, upscaler):
    draw_larger(context, checkpoint, hires_upscaler=upscaler)
    (saved,) = [event for event in context.send.__self__ if isinstance(event, Saved)]
    assert Image.open(saved.path).size == (96, 96)
