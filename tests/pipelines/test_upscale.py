"""Upscale: tiled as whole, any factor, alpha apart, cancelled within a tile, smaller tiles where memory runs out."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.engine.catalog import Catalog
from pipelines.engine.context import Context
from pipelines.engine.errors import Cancelled
from pipelines.engine.jobs import Progress, Saved, Warned
from pipelines.engine.manager import PipelineManager
from pipelines.engine.policy import Hardware, decide
from pipelines.enlarging import passes
from pipelines.upscale import run
from presets.gallery import Gallery
from presets.inputs import Inputs
from presets.metadata import read_request
from presets.settings import Settings
from presets.upscale import Upscale
from tests.upscalers import save_upscaler, tiny_compact

TINY = {"tile": 64, "overlap": 16, "upscaler": "twice"}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    save_upscaler(tiny_compact(2), root / "upscalers" / "twice.safetensors")
    save_upscaler(tiny_compact(4), root / "upscalers" / "four.safetensors")
    return root


@pytest.fixture
def context(root, tmp_path):
    settings = Settings(home=tmp_path)
    policy = decide(Hardware("cpu", "a CPU", 2**33, 1), settings)
    manager = PipelineManager(Catalog((root,), root / "none"), policy, settings)
    parts = (manager, policy, None, Gallery(settings.pictures), Inputs(settings.inputs))
    events = []
    return Context(*parts, events.append, lambda: False)


def events_of(context):
    return context.send.__self__


def noise(width, height, mode="RGB"):
    values = np.random.default_rng(3).integers(0, 256, (height, width, len(mode)), np.uint8)
    return Image.fromarray(values, mode)


def upscaled(context, picture, **values):
    """The saved picture."""
    request = Upscale(image=context.inputs.keep(picture), **{**TINY, **values})
    run(request, context)
    (saved,) = [event for event in events_of(context) if isinstance(event, Saved)]
    events_of(context).clear()
    with Image.open(saved.path) as image:
        image.load()
    assert image.size == request.picture_size
    assert read_request(saved.path).request == request
    return image


def test_a_job_begun_once_more_makes_no_picture_again(context):
    run(Upscale(image=context.inputs.keep(noise(20, 20)), **TINY), replace(context, first=1))
    assert not events_of(context)


def test_tiles_give_what_the_whole_gives_to_one_step_of_255(context):
    picture = noise(150, 101)
    tiled = np.asarray(upscaled(context, picture)).astype(int)
    whole = np.asarray(upscaled(context, picture, tile=160)).astype(int)
    assert np.abs(tiled - whole).max() <= 1


@pytest.mark.parametrize(("name", "factor"), [("twice", 1), ("twice", 1.3), ("twice", 5), ("four", 2.5)])
def test_any_factor_is_reached_by_model_and_resampling(context, name, factor):
    picture = Image.new("RGB", (70, 40), (30, 140, 220))
    made = np.asarray(upscaled(context, picture, upscaler=name, factor=factor)).astype(int)
    assert made.shape == (round(40 * factor), round(70 * factor), 3)
    assert np.abs(made[8:-8, 8:-8] - (30, 140, 220)).max() < 60


@pytest.mark.parametrize(
    ("wanted", "scale", "sizes"),
    [
        ((20, 20), 2, [(20, 20)]),
        ((25, 25), 2, [(20, 20), (25, 25)]),
        ((80, 80), 2, [(20, 20), (40, 40), (80, 80)]),
        ((20, 20), 1, [(20, 20)]),
    ],
)
def test_a_model_is_used_as_often_as_it_takes(wanted, scale, sizes):
    assert passes((10, 10), wanted, scale) == sizes


@pytest.mark.parametrize("upscaler", ["twice", "lanczos"])
def test_alpha_is_kept_and_made_larger_apart(context, upscaler):
    clear = Image.new("RGBA", (70, 40), (200, 10, 10, 0))
    clear.paste((10, 200, 10, 255), (0, 0, 35, 40))
    made = upscaled(context, clear, upscaler=upscaler)
    alpha = np.asarray(made.getchannel("A")).astype(int)
    assert made.mode == "RGBA"
    assert alpha[10:-10, 10:50].min() > 200 and alpha[10:-10, 90:-10].max() < 60


def test_plain_resampling_is_pillows(context):
    picture = noise(33, 21)
    assert np.array_equal(
        np.asarray(upscaled(context, picture, upscaler="nearest", factor=3)),
        np.asarray(picture.resize((99, 63), Image.Resampling.NEAREST)),
    )


def test_each_tile_is_reported_and_the_last_is_the_last(context):
    request = Upscale(image=context.inputs.keep(noise(150, 101)), **TINY, factor=4)
    run(request, context)
    steps = [(event.step, event.steps) for event in events_of(context) if isinstance(event, Progress)]
    assert [step for step, _ in steps] == list(range(1, len(steps) + 1))
    assert {last for _, last in steps} == {len(steps)}
    assert any(event.preview for event in events_of(context) if isinstance(event, Progress))


def test_a_cancelled_job_ends_within_a_tile_and_the_next_is_whole(context):
    answers = iter([False] * 4)
    request = Upscale(image=context.inputs.keep(noise(150, 101)), **TINY)
    with pytest.raises(Cancelled):
        run(request, replace(context, is_cancelled=lambda: next(answers, True)))
    assert not [event for event in events_of(context) if isinstance(event, Progress | Saved)]
    assert upscaled(context, noise(150, 101)).size == (300, 202)


def memory_for(side, monkeypatch):
    """Have convolutions of more than `side` pixels run out of memory."""
    convolve = torch.nn.functional.conv2d

    def limited(values, *rest):
        if values.shape[-1] > side:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes.")
        return convolve(values, *rest)

    monkeypatch.setattr(torch.nn.functional, "conv2d", limited)


def test_where_memory_runs_out_smaller_tiles_are_taken_and_told(context, monkeypatch):
    picture = noise(300, 200)
    whole = np.asarray(upscaled(context, picture, tile=512)).astype(int)
    memory_for(80, monkeypatch)
    request = Upscale(image=context.inputs.keep(picture), **{**TINY, "tile": 512})
    run(request, context)
    (saved,) = [event for event in events_of(context) if isinstance(event, Saved)]
    with Image.open(saved.path) as image:
        assert np.abs(np.asarray(image).astype(int) - whole).max() <= 1
    told = [event.message for event in events_of(context) if isinstance(event, Warned)]
    assert told == [
        "Memory ran out with tiles of 300 pixels; they were made 150 pixels large.",
        "Memory ran out with tiles of 150 pixels; they were made 75 pixels large.",
    ]
    assert saved.warnings == tuple(told)


def test_where_no_tile_is_small_enough_it_is_an_error(context, monkeypatch):
    memory_for(40, monkeypatch)
    with pytest.raises(RuntimeError, match="allocate memory"):
        run(Upscale(image=context.inputs.keep(noise(150, 101)), **TINY), context)
