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
    "DEIS",
    "UniPC",
    "DDIM",
    "DDPM",
    "LCM",
    "TCD",
]
Schedule = Literal["automatic", "normal", "karras", "exponential", "beta", "sgm_uniform"]

SAMPLERS: tuple[str, ...] = get_args(Sampler)
SCHEDULES: tuple[str, ...] = get_args(Schedule)

_OWN_SCHEDULE = ("LCM", "TCD")

SCHEDULES_OF: dict[str, tuple[str, ...]] = {
    name: ("automatic",) if name in _OWN_SCHEDULE else SCHEDULES for name in SAMPLERS
} | {"DPM++ 3M SDE": tuple(name for name in SCHEDULES if name != "normal")}
"""Sampler -> the schedules it can take. "automatic" is the sampler's usual one.

Samplers of distilled models choose their timesteps themselves; DPM++ 3M SDE diverges on evenly spaced ones.
"""
