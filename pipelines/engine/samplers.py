"""Samplers and noise schedules by the names of `presets/samplers.py`, as diffusers schedulers.

The schedules are computed here, one formula for all samplers: diffusers' own differ from class to class, and its beta
schedule repeats timesteps from 50 steps on, where its solvers then read past their end.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import diffusers
import numpy as np
import torch
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from scipy import stats

from presets.samplers import Sampler, Schedule

TCD_ETA = 0.3
"""Share of fresh noise in each step of TCD, its paper's default; no other sampler here reads `eta`."""


@dataclass(frozen=True, slots=True)
class SamplerRow:
    """A diffusers scheduler class by name, its options, and the schedule that "automatic" means for it (A1111's).

    `to_zero` is false for solvers that cannot step to noise level 0; they end at the model's lowest. `own_schedule`
    marks those of distilled models, which choose their timesteps themselves.
    """

    scheduler: str
    options: Mapping[str, Any] = field(default_factory=dict)
    automatic: Schedule = "normal"
    to_zero: bool = True
    own_schedule: bool = False


_SDE = {"algorithm_type": "sde-dpmsolver++"}
_DISTILLED = {"original_inference_steps": 1000}

SAMPLERS: Mapping[Sampler, SamplerRow] = MappingProxyType(
    {
        "Euler": SamplerRow("EulerDiscreteScheduler"),
        "Euler a": SamplerRow("EulerAncestralDiscreteScheduler"),
        "Heun": SamplerRow("HeunDiscreteScheduler"),
        "LMS": SamplerRow("LMSDiscreteScheduler"),
        "DPM2": SamplerRow("KDPM2DiscreteScheduler", automatic="karras"),
        "DPM2 a": SamplerRow("KDPM2AncestralDiscreteScheduler", automatic="karras"),
        "DPM++ 2M": SamplerRow("DPMSolverMultistepScheduler", automatic="karras"),
        "DPM++ 2M SDE": SamplerRow("DPMSolverMultistepScheduler", _SDE, "exponential"),
        "DPM++ 3M SDE": SamplerRow("DPMSolverMultistepScheduler", {**_SDE, "solver_order": 3}, "exponential"),
        "DPM++ 2S": SamplerRow("DPMSolverSinglestepScheduler", {"lower_order_final": True}, "karras"),
        "DPM++ SDE": SamplerRow("DPMSolverSinglestepScheduler", {**_SDE, "lower_order_final": True}, "karras"),
        "DEIS": SamplerRow("DEISMultistepScheduler", to_zero=False),
        "UniPC": SamplerRow("UniPCMultistepScheduler"),
        # DDIM and DDPM are the first-order cases of DPM-Solver++ (section 4 of https://arxiv.org/abs/2211.01095);
        # diffusers' classes of these names step by a rounded stride instead of to the next timestep.
        "DDIM": SamplerRow("DPMSolverMultistepScheduler", {"solver_order": 1}),
        "DDPM": SamplerRow("DPMSolverMultistepScheduler", {**_SDE, "solver_order": 1}),
        "LCM": SamplerRow("LCMScheduler", _DISTILLED, own_schedule=True),
        "TCD": SamplerRow("TCDScheduler", _DISTILLED, own_schedule=True),
    }
)

_OF_THE_MODEL = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas", "prediction_type")


def build(name: Sampler, schedule: Schedule, base_config: Mapping[str, Any]) -> SchedulerMixin:
    """A fresh scheduler for `name` with `schedule` (one that `SCHEDULES_OF` allows it); it serves one run.

    From `base_config`, the config of the checkpoint's own scheduler, only what the model was trained with is kept:
    betas, number of timesteps, prediction type. The rest is the sampler's.
    """
    row = SAMPLERS[name]
    options = {key: base_config[key] for key in _OF_THE_MODEL if base_config.get(key) is not None} | dict(row.options)
    if base_config.get("rescale_betas_zero_snr"):
        options["trained_betas"] = _betas_of_zero_snr(base_config)
    scheduler = getattr(diffusers, row.scheduler)
    if row.own_schedule:
        return scheduler(**options)
    if _has_schedules(scheduler):
        options["use_karras_sigmas"] = True
    spread = SCHEDULES[row.automatic if schedule == "automatic" else schedule]
    scheduled = type(row.scheduler, (_Scheduled, scheduler), {"spread": staticmethod(spread), "to_zero": row.to_zero})
    return scheduled(**options)


FLOW_SAMPLER: Sampler = "Euler"
"""The one that families of flow matching are drawn with."""
_FLOW_SCHEDULES = {"karras": "use_karras_sigmas", "exponential": "use_exponential_sigmas", "beta": "use_beta_sigmas"}


def build_flow(schedule: Schedule, base_config: Mapping[str, Any]) -> SchedulerMixin:
    """A fresh scheduler for flow matching (Euler's method), shifted as `base_config` says, for one run.

    "automatic" is the checkpoint's own schedule.
    """
    chosen = {option: name == schedule for name, option in _FLOW_SCHEDULES.items()}
    options = dict(base_config) if schedule == "automatic" else {**base_config, **chosen}
    scheduler_class: Any = diffusers.FlowMatchEulerDiscreteScheduler
    return scheduler_class.from_config(options)


def noise_levels(alphas_cumprod: torch.Tensor) -> np.ndarray:
    """Sigma = sqrt((1 - a) / a) of every training timestep, ascending, shape (timesteps,)."""
    alphas = alphas_cumprod.double().cpu().numpy()
    return np.sqrt((1 - alphas) / alphas)


def _at(model: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
    """Levels at fractional timesteps, their logarithm interpolated (k-diffusion's DiscreteSchedule)."""
    return np.exp(np.interp(timesteps, np.arange(len(model)), np.log(model)))


def _normal(model: np.ndarray, steps: int) -> np.ndarray:
    return _at(model, np.linspace(len(model) - 1, 0, steps))


def _sgm_uniform(model: np.ndarray, steps: int) -> np.ndarray:
    return _at(model, np.linspace(len(model) - 1, 0, steps + 1)[:-1])


def _karras(model: np.ndarray, steps: int) -> np.ndarray:
    """Equation 5 of https://arxiv.org/abs/2206.00364 with rho 7."""
    return np.linspace(model[-1] ** (1 / 7), model[0] ** (1 / 7), steps) ** 7


def _exponential(model: np.ndarray, steps: int) -> np.ndarray:
    return np.exp(np.linspace(np.log(model[-1]), np.log(model[0]), steps))


def _beta(model: np.ndarray, steps: int) -> np.ndarray:
    """Timesteps at quantiles of a Beta(0.6, 0.6) distribution (https://arxiv.org/abs/2407.12173)."""
    quantiles = 1 - np.linspace(0, 1, steps, endpoint=False)
    return _at(model, stats.beta.ppf(quantiles, 0.6, 0.6) * (len(model) - 1))


Spread = Callable[[np.ndarray, int], np.ndarray]
SCHEDULES: Mapping[str, Spread] = MappingProxyType(
    {
        "normal": _normal,
        "karras": _karras,
        "exponential": _exponential,
        "beta": _beta,
        "sgm_uniform": _sgm_uniform,
    }
)
"""Schedule -> function of the model's noise levels (ascending) and the steps, to that many levels, descending."""


def _has_schedules(scheduler: type) -> bool:
    return "use_karras_sigmas" in inspect.signature(scheduler.__init__).parameters


class _Scheduled:
    """Put before a diffusers scheduler, makes it use the noise levels of `spread`.

    diffusers' solvers ask `_convert_to_karras` for the levels where that option is on and derive all else from them,
    so this is the place for any; the ancestral Euler has no such option and is set directly. The begin index is set
    because a first timestep that repeats would be taken for a start in the middle.
    """

    spread: Spread
    to_zero: bool
    alphas_cumprod: torch.Tensor
    config: Any
    steps_wanted: int

    def _levels(self) -> np.ndarray:
        model = noise_levels(self.alphas_cumprod)
        return self.spread(model, self.steps_wanted) if self.to_zero else self.spread(model, self.steps_wanted + 1)[:-1]

    def _convert_to_karras(self, *_: Any, **__: Any) -> np.ndarray:
        return self._levels()

    def set_timesteps(self, num_inference_steps: int, device: Any = None, *rest: Any) -> None:
        # The constructors of Heun and DPM2 ask for all timesteps, with a third argument: slow, and never used.
        self.steps_wanted = 2 if rest else num_inference_steps
        super().set_timesteps(self.steps_wanted, device, *rest)  # type: ignore[misc]
        model = noise_levels(self.alphas_cumprod)
        if not self.config.get("use_karras_sigmas"):
            levels = self._levels()
            timesteps = np.interp(np.log(levels), np.log(model), np.arange(len(model)))
            self.sigmas = torch.tensor([*levels, 0.0], dtype=torch.float32)
            self.timesteps = torch.tensor(timesteps, dtype=torch.float32, device=device)
        if not self.to_zero:
            self.sigmas[-1] = model[0]
        self.set_begin_index(0)  # type: ignore[attr-defined]


def _betas_of_zero_snr(base_config: Mapping[str, Any]) -> list[float]:
    """Betas rescaled so that the last timestep is noise alone (algorithm 1 of https://arxiv.org/abs/2305.08891).

    The last level stays finite, at the smallest float16, as solvers divide by it.
    """
    betas = {key: base_config[key] for key in _OF_THE_MODEL if base_config.get(key) is not None}
    alphas = diffusers.DDPMScheduler(**betas, rescale_betas_zero_snr=True).alphas_cumprod.double()
    alphas[-1] = 2.0**-24
    return (1 - alphas / torch.cat([torch.ones(1, dtype=torch.float64), alphas[:-1]])).tolist()
