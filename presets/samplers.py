"""The vocabulary of samplers and schedules: names as the field uses them, and which go together.

`pipelines/engine/samplers.py` says which diffusers scheduler each name stands for; a test holds the two equal.
"""

from typing import Literal, get_args

Sampler = Literal[
    "Euler",
    "Euler a",
    "Heun",
    "LMS",
    "DPM2",
    "DPM2 a",
    "DPM++ 2M",
    "DPM++ 2M SDE",
    "DPM++ 3M SDE",
    "DPM++ 2S",
    "DPM++ SDE",
    "DPM 2M",
    "DEIS",
    "UniPC",
    "DDIM",
    "DDPM",
    "PNDM",
    "IPNDM",
    "LCM",
    "TCD",
]
Schedule = Literal["automatic", "normal", "karras", "exponential", "beta", "sgm_uniform"]

SAMPLERS: tuple[str, ...] = get_args(Sampler)
SCHEDULES: tuple[str, ...] = get_args(Schedule)

_SIGMA_SCHEDULES = ("automatic", "normal", "karras", "exponential", "beta", "sgm_uniform")
_TIMESTEP_SCHEDULES = ("automatic", "normal", "sgm_uniform")
_OWN_SCHEDULE = ("automatic",)

SCHEDULES_OF: dict[str, tuple[str, ...]] = {
    "Euler": _SIGMA_SCHEDULES,
    "Euler a": _TIMESTEP_SCHEDULES,
    "Heun": _SIGMA_SCHEDULES,
    "LMS": _SIGMA_SCHEDULES,
    "DPM2": _SIGMA_SCHEDULES,
    "DPM2 a": _SIGMA_SCHEDULES,
    "DPM++ 2M": _SIGMA_SCHEDULES,
    "DPM++ 2M SDE": _SIGMA_SCHEDULES,
    "DPM++ 3M SDE": _SIGMA_SCHEDULES,
    "DPM++ 2S": _SIGMA_SCHEDULES,
    "DPM++ SDE": _SIGMA_SCHEDULES,
    "DPM 2M": _SIGMA_SCHEDULES,
    "DEIS": _SIGMA_SCHEDULES,
    "UniPC": _SIGMA_SCHEDULES,
    "DDIM": _TIMESTEP_SCHEDULES,
    "DDPM": _TIMESTEP_SCHEDULES,
    "PNDM": _TIMESTEP_SCHEDULES,
    "IPNDM": _OWN_SCHEDULE,
    "LCM": _OWN_SCHEDULE,
    "TCD": _OWN_SCHEDULE,
}
"""Sampler -> the schedules it can take. "automatic" is the sampler's usual one."""
