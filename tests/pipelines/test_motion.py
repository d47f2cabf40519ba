"""Motion modules: told by header, the frames of diffusers' own AnimateDiff pipelines, and nothing left behind."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import AnimateDiffPipeline, UNetMotionModel
from PIL import Image, ImageSequence

from pipelines.engine import policy
from pipelines.engine.catalog import EXTRAS, STARTER, Catalog
from pipelines.engine.conditioning import Conditioner
from pipelines.engine.context import Context
from pipelines.engine.errors import Cancelled, MotionFamily, MotionNotFound, MotionUnusable
from pipelines.engine.jobs import Progress, Saved
from pipelines.engine.manager import PipelineManager
from pipelines.engine.motion_files import MotionFiles
from pipelines.engine.motion_loading import load_motion
from pipelines.engine.samplers import build
from pipelines.runners import RUNNERS
from presets.checks import parse
from presets.drawing import LoraUse
from presets.errors import InvalidField
from presets.gallery import Gallery
from presets.inputs import Inputs
from presets.metadata import converted, read_request
from presets.requests import TextToImage
from presets.settings import Settings
from tests.checkpoints import save_folder, tiny_flux, tiny_sdxl
from tests.motions import save_motion, tiny_motion
from tests.safetensors_files import write_safetensors

FRAMES = 3


@pytest.fixture(scope="module")
def root(tmp_path_factory, starter_pipe):
    """Modules for the starter in both layouts, one that leaves all as it is, and one for a tiny SDXL."""
    root = tmp_path_factory.mktemp("models")
    save_motion(tiny_motion(starter_pipe.unet), root / "motion_modules/own.safetensors")
    tiny_motion(starter_pipe.unet).save_pretrained(root / "motion_modules/folder")
    save_motion(tiny_motion(starter_pipe.unet, still=True), root / "motion_modules/still.safetensors")
    sdxl = tiny_sdxl()
    save_folder(sdxl, root / "checkpoints/xl")
    save_motion(tiny_motion(sdxl.unet), root / "motion_modules/xl.safetensors")
    return root


@pytest.fixture(scope="module")
def models(root, tmp_path_factory):
    settings = Settings(home=tmp_path_factory.mktemp("home"), device="cpu", threads=1, dtype="float32")
    decided = policy.decide(policy.detect(settings), settings)
    return PipelineManager(Catalog((root, EXTRAS), STARTER), decided, settings), decided


@pytest.fixture
def context(models, tmp_path):
    events = []
    return Context(*models, Conditioner(), Gallery(tmp_path), Inputs(tmp_path), events.append, lambda: False)


def asked(**values):
    usual = {"prompt": "a red house", "steps": 3, "seed": 7, "width": 64, "height": 64, "frames": FRAMES}
    request = TextToImage.model_validate({**usual, **values})
    return request.resolved(request.checkpoint, (64, 64))


def drawn(context, **values):
    """The file that is saved, and its frames in numbers."""
    events = context.send.__self__
    events.clear()
    RUNNERS[TextToImage](asked(**values), context)
    (saved,) = [event for event in events if isinstance(event, Saved)]
    return saved.path, frames_of(saved.path)


def frames_of(path):
    with Image.open(path) as image:
        return np.stack([np.asarray(frame.convert("RGB")).astype(int) for frame in ImageSequence.all_frames(image)])


def noise():
    generator = torch.Generator("cpu").manual_seed(7)
    return torch.stack([torch.randn((1, 4, 8, 8), generator=generator) for _ in range(FRAMES)], dim=2)


def raw(starter_pipe):
    """What diffusers' own pipeline draws with a UNet of its own."""
    unet = UNetMotionModel.from_unet2d(starter_pipe.unet, tiny_motion(starter_pipe.unet)).eval()
    parts = {part: getattr(starter_pipe, part) for part in ("vae", "text_encoder", "tokenizer")}
    scheduler = build("DPM++ 2M", "automatic", starter_pipe.scheduler.config)
    pipe = AnimateDiffPipeline(**parts, unet=unet, motion_adapter=None, scheduler=scheduler)
    pipe.set_progress_bar_config(disable=True)
    size = {"num_frames": FRAMES, "width": 64, "height": 64}
    asked = {"num_inference_steps": 3, "guidance_scale": 4.0, "latents": noise(), "negative_prompt": ""}
    (frames,) = pipe("a red house", **size, **asked, output_type="np").frames
    return np.round(frames * 255)


@pytest.mark.parametrize("name", ["own", "folder"])
def test_frames_are_those_of_diffusers_own_pipeline_and_nothing_stays(context, starter_pipe, name):
    _, plain = drawn(context)
    _, frames = drawn(context, motion_module=name)
    assert frames.shape == (FRAMES, 64, 64, 3)
    assert np.abs(frames - raw(starter_pipe)).max() <= 1
    assert (frames[0] != plain[0]).any()
    assert np.array_equal(drawn(context)[1], plain)


@pytest.mark.parametrize("offload", ["model", "group", "sequential"])
def test_frames_are_the_same_where_weights_come_and_go(context, root, models, offload):
    decided = replace(models[1], offload=offload, resident_limit=0)
    lean = replace(context, models=PipelineManager(Catalog((root,), STARTER), decided, Settings()))
    assert np.array_equal(drawn(lean, motion_module="own")[1], drawn(context, motion_module="own")[1])


def test_a_module_counts_where_memory_is_planned(root, models):
    with models[0].pipeline("storybook"):
        (weights,) = (resident.bytes for resident in models[0].memory().residents if resident.name == "storybook")
    decided = replace(models[1], offload="auto", resident_limit=weights + 10_000)
    manager = PipelineManager(Catalog((root,), STARTER), decided, Settings())
    with manager.pipeline("storybook") as plain, manager.pipeline("storybook", motion="own") as moved:
        assert plain.plan.offload == "none" != moved.plan.offload


def test_a_module_that_moves_nothing_gives_the_picture_itself_also_with_a_lora_and_less_guidance(context):
    shared = {"loras": (LoraUse(name="pencil"),), "guidance_end": 0.5}
    _, frames = drawn(context, motion_module="still", **shared)
    assert np.abs(frames[0] - drawn(context, **shared)[1][0]).max() <= 1
    assert (frames[0] != frames[1]).any()


def test_the_weights_are_the_unets_own_and_the_module_is_counted_and_stays(models):
    manager, _ = models
    with manager.pipeline("", motion="own") as first, manager.pipeline("") as plain:
        own = {id(weight) for weight in plain.pipe.unet.parameters()}
        assert own <= {id(weight) for weight in first.pipe.unet.parameters()}
    resident = {resident.name: resident for resident in manager.memory().residents}["own (motion module)"]
    assert resident.bytes > 0 and not resident.pinned
    with manager.pipeline("", motion="own") as again:
        assert again.switch.how == "resident"


def test_a_larger_family_moves_too(context):
    _, frames = drawn(context, checkpoint="xl", motion_module="xl", steps=1)
    assert len(frames) == FRAMES and np.ptp(frames) > 0


def test_the_file_moves_as_fast_as_asked_and_has_its_request_inside(context):
    path, frames = drawn(context, motion_module="own", fps=4)
    assert read_request(path).request == asked(motion_module="own", fps=4)
    with Image.open(path) as image:
        assert (image.n_frames, image.info["duration"], image.info["loop"]) == (FRAMES, 250, 0)
    webp = path.with_suffix(".webp")
    webp.write_bytes(converted(path, ".webp"))
    assert np.array_equal(frames_of(webp), frames)
    assert read_request(webp).request == read_request(path).request


def test_a_cancelled_animation_leaves_the_checkpoint_as_it_was(context):
    _, plain = drawn(context)

    def stop(event):
        if isinstance(event, Progress):
            raise Cancelled

    with pytest.raises(Cancelled):
        RUNNERS[TextToImage](asked(motion_module="own"), replace(context, send=stop))
    assert np.array_equal(drawn(context)[1], plain)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("hires_factor", {"hires_factor": 2}),
        ("token_merging", {"token_merging": 0.5}),
        ("references", {"references": [{"weight": 1}]}),
    ],
)
def test_what_does_not_go_together_is_said(field, values):
    with pytest.raises(InvalidField, match="does not go with a motion module") as refused:
        parse(TextToImage, {"prompt": "", "motion_module": "own", **values})
    assert (refused.value.field, refused.value.code) == (field, "E-MOTION")


def files(root):
    catalog = Catalog((root,), STARTER)
    return MotionFiles(catalog), catalog


def test_one_that_does_not_fit_is_refused_before_the_run(root):
    modules, catalog = files(root)
    save_folder(tiny_flux(), root / "checkpoints/flux")
    levels = {f"down_blocks.{n}.motion_modules.0.proj_in.weight": (320 * 2**n, 320 * 2**n) for n in range(3)}
    write_safetensors(root / "motion_modules/real-xl.safetensors", levels)
    with pytest.raises(MotionFamily, match="real-xl was made for Stable Diffusion XL, and the checkpoint storybook is"):
        modules.find("real-xl", catalog.find(""))
    with pytest.raises(MotionFamily, match="Motion modules do not go with flux"):
        modules.find("own", catalog.find("flux"))
    with pytest.raises(MotionNotFound, match="No motion module is called 'owl'. The nearest: own"):
        modules.find("owl", catalog.find(""))
    with pytest.raises(InvalidField, match="9 frames are more than own can draw: at most 8"):
        modules.find("OWN", catalog.find("")).check_frames(9)


@pytest.mark.parametrize(
    ("shapes", "reason"),
    [
        (
            {"down_blocks.0.motion_modules.0.temporal_transformer.x.processor.to_q_lora.down.weight": (4, 8)},
            "motion LoRA",
        ),
        ({"conv_in.weight": (8, 9, 3, 3), "down_blocks.0.motion_modules.0.proj_in.weight": (8, 8)}, "PIA"),
        ({"decoder.conv_in.weight": (8, 4, 3, 3)}, "a VAE; move it to the vae folder"),
        ({"down_blocks.1.motion_modules.0.proj_in.weight": (8, 8)}, "its parts do not fit together"),
        ({"x.motion_modules.0.y": (8,), "z": (1,)}, "a video model"),
    ],
)
def test_what_is_none_is_told(tmp_path, shapes, reason):
    (tmp_path / "motion_modules").mkdir()
    write_safetensors(tmp_path / "motion_modules/x.safetensors", shapes)
    (info,) = files(tmp_path)[0].list()
    assert reason in info.problem


def test_one_with_other_levels_is_refused_as_it_is_put_together(models):
    with pytest.raises(MotionFamily, match="xl was made for a UNet of .64, 128. channels"):  # noqa: SIM117
        with models[0].pipeline("", motion="xl"):
            pass


def test_one_whose_parts_do_not_fit_together_is_refused_as_it_is_loaded(tmp_path, starter_pipe):
    module = tiny_motion(starter_pipe.unet)
    del module.up_blocks[0].motion_modules[0].proj_out
    save_motion(module, tmp_path / "motion_modules/torn.safetensors")
    modules, catalog = files(tmp_path)
    with pytest.raises(MotionUnusable, match="'torn' cannot be used: its parts do not fit together"):
        load_motion(modules.find("torn", catalog.find("")), torch.float32)


def test_one_among_the_checkpoints_is_told_where_it_belongs(tmp_path, starter_pipe):
    save_motion(tiny_motion(starter_pipe.unet), tmp_path / "checkpoints/own.safetensors")
    catalog = Catalog((tmp_path,), STARTER)
    (problem,) = catalog.problems()
    assert "is a motion module: move it to the motion_modules folder" in problem.sentence
