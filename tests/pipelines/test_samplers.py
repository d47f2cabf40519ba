"""Samplers against a model whose answer is known: data that is normally distributed, channel by channel."""

import inspect

import pytest
import torch

from pipelines.denoise import Watch, denoise
from pipelines.engine.conditioning import Conditioner
from pipelines.engine.samplers import SAMPLERS, build
from presets.requests import TextToImage
from presets.samplers import SAMPLERS as NAMES
from presets.samplers import SCHEDULES_OF

BASE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}
SPREAD = torch.linspace(0.05, 1.2, 64).view(1, 4, 4, 4)
RANDOM = ("Euler a", "DPM2 a", "DPM++ 2M SDE", "DPM++ 3M SDE", "DPM++ SDE", "DDPM", "LCM", "TCD")
EVERY = [(name, schedule) for name in NAMES for schedule in SCHEDULES_OF[name]]
EXACT = [pair for pair in EVERY if pair[0] not in RANDOM]


def sample(name, schedule, steps, config):
    """(samples, the noise they began with) of the known distribution."""
    scheduler = build(name, schedule, config)
    scheduler.set_timesteps(steps)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(64, 4, 4, 4, generator=generator)
    latents = noise * scheduler.init_noise_sigma
    options = {"generator": generator} if "generator" in inspect.signature(scheduler.step).parameters else {}
    for timestep in scheduler.timesteps:
        read = scheduler.scale_model_input(latents, timestep)
        output = answer(read, scheduler.alphas_cumprod, float(timestep), config["prediction_type"])
        latents = scheduler.step(output, timestep, latents, return_dict=False, **options)[0]
    return latents, noise


def answer(read, alphas, timestep, prediction_type):
    """What a perfect model says of `read`."""
    low = int(timestep)
    levels = torch.stack([alphas[low], alphas[min(low + 1, len(alphas) - 1)]]).double().log()
    alpha = torch.lerp(levels[0], levels[1], timestep - low).exp().float()
    signal, noise = alpha.sqrt(), (1 - alpha).sqrt()
    picture = signal * SPREAD**2 / (signal**2 * SPREAD**2 + noise**2) * read
    epsilon = (read - signal * picture) / noise
    return epsilon if prediction_type == "epsilon" else signal * epsilon - noise * picture


def exact(noise, config):
    """Where the probability flow leads from `noise`, in closed form."""
    alpha = build("Euler", "normal", config).alphas_cumprod[-1]
    level = ((1 - alpha) / alpha).sqrt()
    return noise * level * SPREAD / (SPREAD**2 + level**2).sqrt()


def test_the_table_has_the_names_of_the_vocabulary():
    assert set(SAMPLERS) == set(NAMES) == set(SCHEDULES_OF)
    assert len(NAMES) >= 15


@pytest.mark.parametrize(("name", "schedule"), EXACT)
def test_samplers_without_fresh_noise_come_near_the_exact_solution(name, schedule):
    assert distance(name, schedule, 12, "epsilon") < 0.35
    if schedule == "automatic":
        assert distance(name, schedule, 24, "v_prediction") < 0.25


def distance(name, schedule, steps, prediction_type):
    """Mean distance from the exact solution, in deviations of the known distribution."""
    config = {**BASE, "prediction_type": prediction_type}
    samples, noise = sample(name, schedule, steps, config)
    return ((samples - exact(noise, config)) / SPREAD).pow(2).mean().sqrt()


@pytest.mark.parametrize(("name", "schedule"), [pair for pair in EVERY if pair[0] in RANDOM and pair[0] != "LCM"])
def test_samplers_with_fresh_noise_reach_the_right_spread(name, schedule):
    samples, _ = sample(name, schedule, 30, {**BASE, "prediction_type": "v_prediction"})
    assert 0.7 < (samples.std(0) / SPREAD).mean() < 1.3


@pytest.mark.parametrize(("name", "schedule"), EVERY)
def test_every_combination_stays_finite_with_few_steps(name, schedule):
    for steps in (1, 3):
        assert sample(name, schedule, steps, {**BASE, "prediction_type": "epsilon"})[0].isfinite().all()


@pytest.mark.parametrize("name", ["Euler a", "DPM++ 2M SDE", "DEIS", "UniPC", "DPM2", "DDIM"])
def test_the_most_steps_repeat_no_timestep_at_the_cost_of_an_error(name):
    samples, _ = sample(name, "beta", 150, {**BASE, "prediction_type": "epsilon"})
    assert 0.8 < (samples.std(0) / SPREAD).mean() < 1.2


@pytest.mark.parametrize("name", NAMES)
def test_every_sampler_stays_finite_on_models_of_zero_terminal_snr(name):
    samples, _ = sample(
        name, "automatic", 8, {**BASE, "prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
    )
    assert samples.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_every_sampler_draws_with_the_starter(starter_pipe, name):
    request = TextToImage(prompt="a house", sampler=name, steps=2, seed=1, width=64, height=64, guidance_scale=1)
    conditioning = Conditioner().encode(starter_pipe, request.prompt, None)
    assert denoise(starter_pipe, conditioning, request, Watch(lambda _: None)).isfinite().all()


def test_what_the_model_was_trained_with_is_kept_and_nothing_else():
    scheduler = build("DDIM", "karras", {**BASE, "prediction_type": "v_prediction", "clip_sample": True, "skip": 3})
    assert scheduler.config.prediction_type == "v_prediction"
    assert scheduler.config.beta_end == 0.012
    assert not scheduler.config.get("clip_sample")


def test_automatic_is_karras_for_the_usual_sampler():
    levels = {schedule: build("DPM++ 2M", schedule, BASE) for schedule in ("automatic", "karras", "normal")}
    for scheduler in levels.values():
        scheduler.set_timesteps(10)
    assert torch.equal(levels["automatic"].sigmas, levels["karras"].sigmas)
    assert not torch.equal(levels["automatic"].sigmas, levels["normal"].sigmas)
