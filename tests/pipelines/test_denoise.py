"""One run of the pipeline: the raw pipeline's pixels, with reports and a way out."""

import copy
import io

import numpy as np
import pytest
import torch
from diffusers.callbacks import SDCFGCutoffCallback, SDXLCFGCutoffCallback
from PIL import Image

from pipelines.denoise import NoNumbers, Watch, damaged_parts, decode, denoise
from pipelines.engine import samplers
from pipelines.engine.conditioning import Conditioner
from pipelines.engine.errors import Cancelled
from pipelines.engine.preview import LatentMap, jpeg, thumbnail
from presets.requests import TextToImage
from tests.checkpoints import tiny_sdxl
from tests.raw import raw_picture

USUAL = LatentMap(matrix=((0.3, 0.2, 0.3), (0.3, 0.5, 0.2), (-0.3, 0.2, 0.3), (-0.2, -0.3, -0.7)), bias=(0, 0, 0))


def request(**values):
    return TextToImage(**{"prompt": "a red house", "steps": 4, "seed": 7, "width": 128, "height": 64} | values)


def latents_of(pipe, request, watch=None):
    negative = request.negative_prompt if request.guidance_scale > 1 else None
    conditioning = Conditioner().encode(pipe, request.prompt, negative)
    return denoise(pipe, conditioning, request, watch or Watch(lambda _: None))


@pytest.mark.parametrize("values", [{}, {"sampler": "Euler a"}, {"sampler": "DPM++ 2M SDE"}, {"guidance_scale": 1}])
def test_the_picture_is_that_of_the_raw_pipeline(starter_pipe, values):
    wanted = request(**values)
    ours = decode(starter_pipe, latents_of(starter_pipe, wanted, Watch(lambda _: None, latent_map=USUAL)), print)
    assert np.array_equal(
        np.array(ours), np.array(raw_picture(starter_pipe, wanted, width=wanted.width, height=wanted.height))
    )


@pytest.mark.parametrize("sampler", ["Euler", "Heun", "DPM2 a", "LCM"])
@pytest.mark.parametrize("steps", [1, 3])
def test_each_step_that_was_asked_for_is_reported_once(starter_pipe, sampler, steps):
    events = []
    latents_of(starter_pipe, request(sampler=sampler, steps=steps), Watch(events.append, 2, 3))
    assert [event.step for event in events] == list(range(1, steps + 1))
    assert {(event.steps, event.picture, event.pictures) for event in events} == {(steps, 2, 3)}
    assert events[-1].remaining == 0


def test_the_first_step_comes_with_a_preview_in_the_pictures_shape(starter_pipe):
    events = []
    latents_of(starter_pipe, request(), Watch(events.append, latent_map=USUAL))
    width, height = Image.open(io.BytesIO(events[0].preview)).size
    assert width == 2 * height


@pytest.mark.parametrize("sampler", ["Euler", "DPM++ 2M"])
def test_a_preview_foresees_the_picture(starter_pipe, sampler):
    events = []
    wanted = request(sampler=sampler, schedule="normal", steps=1)
    latents = latents_of(starter_pipe, wanted, Watch(events.append, latent_map=USUAL))
    shown = np.array(Image.open(io.BytesIO(events[-1].preview)), dtype=float)
    final = np.array(Image.open(io.BytesIO(jpeg(thumbnail(latents, USUAL)))), dtype=float)
    assert np.abs(shown - final).mean() < 2


def test_a_report_that_raises_ends_the_run_and_leaves_the_pipeline_sound(starter_pipe):
    def cancel(progress):
        if progress.step == 2:
            raise Cancelled

    expected, own = latents_of(starter_pipe, request()), starter_pipe.scheduler
    with pytest.raises(Cancelled):
        latents_of(starter_pipe, request(), Watch(cancel))
    assert starter_pipe.scheduler is own
    assert not starter_pipe.unet._forward_hooks
    assert torch.equal(latents_of(starter_pipe, request()), expected)


def test_without_guidance_the_unet_runs_on_the_prompt_alone(starter_pipe):
    rows = []
    hook = starter_pipe.unet.register_forward_hook(lambda _, arguments, __: rows.append(len(arguments[0])))
    latents_of(starter_pipe, request(guidance_scale=1, steps=1))
    latents_of(starter_pipe, request(guidance_scale=1.5, steps=1))
    hook.remove()
    assert rows == [1, 2]


@pytest.mark.parametrize(("share", "rows"), [(1, [2, 2, 2, 2]), (0.5, [2, 2, 1, 1]), (0.3, [2, 2, 1, 1]), (0, [1] * 4)])
def test_guidance_costs_nothing_once_it_has_ended(starter_pipe, share, rows):
    seen = []
    hook = starter_pipe.unet.register_forward_hook(lambda _, arguments, __: seen.append(len(arguments[0])))
    latents_of(starter_pipe, request(guidance_end=share))
    hook.remove()
    assert seen == rows


def test_guidance_that_ends_early_gives_the_latents_of_diffusers_own_cutoff(starter_pipe):
    check_cutoff(starter_pipe, SDCFGCutoffCallback(cutoff_step_ratio=0.25))


def test_guidance_that_ends_early_gives_the_latents_of_diffusers_own_cutoff_for_sdxl():
    pipe = tiny_sdxl().to(torch.float32)
    pipe.set_progress_bar_config(disable=True)
    check_cutoff(pipe, SDXLCFGCutoffCallback(cutoff_step_ratio=0.25))


def check_cutoff(pipe, cutoff):
    """diffusers' cutoff still guides the step at which it ends: of four steps, a quarter means two."""
    wanted = request(guidance_end=0.5, negative_prompt="blue", sampler="DDIM", width=64)
    own, pipe.scheduler = pipe.scheduler, samplers.build("DDIM", "automatic", pipe.scheduler.config)
    generator = torch.Generator().manual_seed(wanted.seed)
    theirs = pipe(
        wanted.prompt,
        negative_prompt=wanted.negative_prompt,
        generator=generator,
        width=64,
        height=64,
        num_inference_steps=4,
        guidance_scale=wanted.guidance_scale,
        output_type="latent",
        callback_on_step_end=cutoff,
        callback_on_step_end_tensor_inputs=cutoff.tensor_inputs,
    ).images
    pipe.scheduler = own
    assert torch.allclose(latents_of(pipe, wanted), theirs, atol=1e-4)


def test_token_merging_changes_the_picture_always_the_same_way_and_leaves_the_unet_as_it_was(starter_pipe):
    plain = latents_of(starter_pipe, request())
    merged, again = (latents_of(starter_pipe, request(token_merging=0.5)) for _ in range(2))
    assert torch.equal(merged, again)
    assert not torch.allclose(merged, plain, atol=1e-3)
    assert torch.equal(latents_of(starter_pipe, request()), plain)
    assert not starter_pipe.unet._forward_pre_hooks


def test_latents_that_are_no_numbers_make_no_picture(starter_pipe):
    with pytest.raises(NoNumbers) as caught:
        decode(starter_pipe, torch.full((1, 4, 8, 8), torch.nan), print)
    assert caught.value.parts == []


@pytest.fixture
def half_pipe(starter_pipe):
    pipe = copy.copy(starter_pipe)
    pipe.vae = copy.deepcopy(starter_pipe.vae).to(torch.bfloat16)
    return pipe


def overflowing(vae, value):
    """Let `vae` give `value` for every pixel in less than float32, as one whose numbers are too large does."""

    def hook(_module, _arguments, output):
        return output if output.dtype == torch.float32 else torch.full_like(output, value)

    return vae.decoder.register_forward_hook(hook)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -1.0])
def test_decode_that_fails_in_half_precision_is_done_again_in_full_and_told(starter_pipe, half_pipe, value):
    told = []
    latents = latents_of(starter_pipe, request())
    overflowing(half_pipe.vae, value)
    picture = decode(half_pipe, latents, told.append)
    assert np.abs(np.array(picture, float) - np.array(decode(starter_pipe, latents, print), float)).mean() < 2
    assert len(told) == 1 and "bfloat16" in told[0]
    assert half_pipe.vae.dtype == torch.bfloat16


def test_sound_decode_in_half_precision_is_done_once(starter_pipe, half_pipe):
    told, calls = [], []
    latents = latents_of(starter_pipe, request())
    half_pipe.vae.decoder.register_forward_hook(lambda *_: calls.append(1))
    decode(half_pipe, latents, told.append)
    assert (told, len(calls)) == ([], 1)


def test_weights_that_are_no_numbers_are_named(half_pipe):
    half_pipe.vae.decoder.conv_in.weight.data[0] = torch.nan
    assert damaged_parts(half_pipe) == ["vae"]
    with pytest.raises(NoNumbers) as caught:
        decode(half_pipe, torch.zeros(1, 4, 8, 8), print)
    assert caught.value.parts == ["vae"]
