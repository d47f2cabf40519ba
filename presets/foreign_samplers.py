"""Samplers and schedules by the names that other programs give them."""

from typing import Any

from presets.errors import shortened
from presets.samplers import SAMPLERS, SCHEDULES, SCHEDULES_OF

_SAMPLERS = {name.lower(): name for name in SAMPLERS} | {
    "euler_ancestral": "Euler a",
    "euler_a": "Euler a",
    "dpm_2": "DPM2",
    "kdpm_2": "DPM2",
    "dpm_2_ancestral": "DPM2 a",
    "dpm_2_a": "DPM2 a",
    "kdpm_2_a": "DPM2 a",
    "dpmpp_2m": "DPM++ 2M",
    "dpmpp_2m_sde": "DPM++ 2M SDE",
    "dpmpp_3m_sde": "DPM++ 3M SDE",
    "dpmpp_2s": "DPM++ 2S",
    "dpmpp_sde": "DPM++ SDE",
    "uni_pc": "UniPC",
    "ddim_v3": "DDIM",
}
_NEAR_SAMPLERS = {
    "dpm++ 2s a": "DPM++ 2S",
    "dpmpp_2s_ancestral": "DPM++ 2S",
    "dpm++ 2m sde heun": "DPM++ 2M SDE",
    "dpmpp_2m_sde_heun": "DPM++ 2M SDE",
    "heunpp2": "Heun",
    "euler_cfg_pp": "Euler",
    "euler_ancestral_cfg_pp": "Euler a",
    "uni_pc_bh2": "UniPC",
    "ddim cfg++": "DDIM",
    "plms": "LMS",
    "pndm": "LMS",
}
"""What is not here -> what comes nearest."""
_SCHEDULES = {name: name for name in SCHEDULES} | {
    "uniform": "automatic",
    "native": "automatic",
    "ddim": "automatic",
    "ddim_uniform": "automatic",
    "sgm uniform": "sgm_uniform",
}
_NEAR_SCHEDULES = {"polyexponential": "exponential", "simple": "automatic"}
_SUFFIXES = (" karras", " exponential", " sgm uniform")
"""Older A1111 wrote the schedule behind the sampler."""


def sampling(sampler: Any, schedule: Any = None) -> tuple[dict[str, str], list[str]]:
    """The fields `sampler` and `schedule`, as far as the two names say them, and what is to be said of that."""
    if not isinstance(sampler, str) or not sampler.strip():
        return {}, []
    name, told = _apart(sampler.strip().lower())
    values, notes = {}, []
    found = _SAMPLERS.get(name) or _NEAR_SAMPLERS.get(name)
    if found is None:
        return {}, [f"The sampler {shortened(sampler)} is not known here; the usual one is used."]
    values["sampler"] = found
    if name not in _SAMPLERS:
        notes.append(f"The sampler {shortened(sampler)} is not known here; {found} comes nearest.")
    wanted = schedule.strip().lower() if isinstance(schedule, str) and schedule.strip() else told
    if wanted:
        notes += _with_schedule(values, found, wanted)
    return values, notes


def _apart(sampler: str) -> tuple[str, str]:
    """The sampler's own name, and the schedule that is written with it."""
    for suffix in _SUFFIXES:
        if sampler.endswith(suffix):
            return sampler.removesuffix(suffix), suffix.strip()
    if "++" in sampler or " " in sampler:
        return sampler, ""
    name = sampler.removeprefix("k_").removesuffix("_gpu")
    return (name.removesuffix("_k"), "karras") if name.endswith("_k") else (name, "")


def _with_schedule(values: dict[str, str], sampler: str, wanted: str) -> list[str]:
    found = _SCHEDULES.get(wanted) or _NEAR_SCHEDULES.get(wanted)
    if found is None:
        return [f"The schedule {shortened(wanted)} is not known here; the sampler's usual one is used."]
    if found not in SCHEDULES_OF[sampler]:
        return [f"The schedule {shortened(wanted)} does not go with {sampler} here; its usual one is used."]
    values["schedule"] = found
    return [] if wanted in _SCHEDULES else [f"The schedule {shortened(wanted)} is not known here; {found} is used."]
