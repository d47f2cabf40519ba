"""Calls of AUTOMATIC1111's API as requests."""

from collections.abc import Mapping
from typing import Any

from pipelines.engine.jobs import Engine
from presets.checks import parse
from presets.foreign_redrawing import of_upscaler
from presets.foreign_samplers import sampling
from presets.requests import AnyRequest, ControlNet, ImageToImage, Inpaint, TextToImage
from presets.upscale import Upscale
from tabs import a1111_scripts
from tabs.http_requests import kept_picture

_SAME = {
    **{name: name for name in ("prompt", "negative_prompt", "steps", "width", "height", "seed", "styles")},
    "cfg_scale": "guidance_scale",
    "denoising_strength": "strength",
}
_HIRES = {
    "hr_scale": "hires_factor",
    "hr_second_pass_steps": "hires_steps",
    "hr_prompt": "hires_prompt",
    "denoising_strength": "hires_strength",
}
_HIRES_SCALE = 2.0
"""Where the call names none."""
_MASK = {"mask_blur": "feather_mask", "inpaint_full_res_padding": "padding"}
_RESIZE = ("stretch", "crop", "fill", "latent")
_CONTENT = ("fill", "original", "noise", "nothing")
_SETTINGS = ("sd_model_checkpoint", "CLIP_stop_at_last_layers")
READ = {
    *_SAME,
    *_HIRES,
    *("enable_hr", "hr_upscaler", "hr_sampler_name"),
    *_MASK,
    *("sampler_name", "sampler_index", "scheduler", "batch_size", "n_iter", "override_settings", "init_images"),
    *("mask", "resize_mode", "inpainting_mask_invert", "inpaint_full_res", "inpainting_fill", "send_images"),
    *(
        "alwayson_scripts",
        "save_images",
        "do_not_save_samples",
        "do_not_save_grid",
        "override_settings_restore_afterwards",
    ),
}
"""What of a call is read; much that clients send besides is for extensions, or does nothing by default."""


def request_of(
    engine: Engine, given: Mapping[str, Any], checkpoint: str, from_picture: bool
) -> tuple[AnyRequest, list[str]]:
    """The request that a call means, and sentences on what was read otherwise than written. Raises `UserError`.

    What is not given is as everywhere in Easel.
    """
    values = {own: given[name] for name, own in _SAME.items() if given.get(name) is not None}
    sampler, notes = _sampling(given.get("sampler_name") or given.get("sampler_index"), given.get("scheduler"))
    values |= sampler
    settings = given.get("override_settings")
    settings = settings if isinstance(settings, dict) else {}
    checkpoint = plain_name(str(settings.get("sd_model_checkpoint") or "")) or checkpoint
    values |= {"checkpoint": checkpoint} if checkpoint else {}
    if clip_skip := settings.get("CLIP_stop_at_last_layers"):
        values["clip_skip"] = clip_skip
    counts = [1 if given.get(name) is None else given[name] for name in ("batch_size", "n_iter")]
    odd = [count for count in counts if not isinstance(count, int) or isinstance(count, bool)]
    values["count"] = odd[0] if odd else counts[0] * counts[1]
    units, unknown = a1111_scripts.control_units(engine, given)
    notes = [*notes, *unknown]
    if not from_picture:
        values.pop("strength", None)
        if units:
            return parse(ControlNet, {"prompt": "", **values, "units": units}), notes
        hires, more = _hires(given)
        return parse(TextToImage, {"prompt": "", **values, **hires}), notes + more
    return _redrawing(engine, given, {"prompt": "", **values, **({"units": units} if units else {})}), notes


def ignored(given: Mapping[str, Any]) -> list[str]:
    """What of a call is set and not read."""
    read = {*READ, "script_name", "script_args"} if a1111_scripts.script_of(given) in a1111_scripts.SCRIPTS else READ
    names = [name for name, value in given.items() if value and name not in read]
    names += a1111_scripts.ignored(given)
    if a1111_scripts.arguments(given, "controlnet") and given.get("enable_hr"):
        names.append("enable_hr beside control units")
    settings = given.get("override_settings")
    if isinstance(settings, dict):
        names += [f"override_settings.{name}" for name in settings if name not in _SETTINGS]
    pictures = given.get("init_images")
    if isinstance(pictures, list) and len(pictures) > 1:
        names.append("init_images after the first")
    return sorted(names)


def _sampling(sampler: Any, schedule: Any) -> tuple[dict[str, Any], list[str]]:
    """The fields `sampler` and `schedule`, and what is to be said of that: a near sampler that is taken, a schedule
    that is not. A sampler that has no counterpart stays as it is, to be refused, as does what is no name at all."""
    if not sampler and not schedule:
        return {}, []
    if schedule and not isinstance(schedule, str):
        return {"schedule": schedule}, []
    values, notes = sampling(sampler or TextToImage.model_fields["sampler"].default, schedule)
    if "sampler" not in values:
        return {"sampler": sampler}, []
    return (values if sampler else {name: values[name] for name in values if name != "sampler"}), notes


def _hires(given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    if not given.get("enable_hr"):
        return {}, []
    notes: list[str] = []
    values = {own: given[name] for name, own in _HIRES.items() if given.get(name) is not None}
    if upscaler := given.get("hr_upscaler"):
        values["hires_upscaler"] = of_upscaler(str(upscaler))
    if (sampler := given.get("hr_sampler_name")) and sampler != "Use same sampler":
        found, notes = _sampling(sampler, None)
        values["hires_sampler"] = found["sampler"]
        if "schedule" in found:
            notes.append(f"The schedule {found['schedule']} of hr_sampler_name was not used; scheduler is for both.")
    return {"hires_factor": _HIRES_SCALE, **values}, notes


def _redrawing(engine: Engine, given: Mapping[str, Any], values: dict[str, Any]) -> AnyRequest:
    pictures = given.get("init_images")
    if isinstance(pictures, list) and pictures:
        values["image"] = kept_picture(engine.inputs, str(pictures[0]), "image")
    if a1111_scripts.script_of(given) == "sd upscale":
        return parse(Upscale, a1111_scripts.upscale(given, values))
    if not given.get("mask"):
        mode = given.get("resize_mode", 1)
        return parse(ImageToImage, {**values, **a1111_scripts.loopback(given), "resize_mode": _named(_RESIZE, mode)})
    values |= {own: given[name] for name, own in _MASK.items() if given.get(name) is not None}
    values["mask"] = kept_picture(engine.inputs, str(given["mask"]), "mask")
    values["invert_mask"] = bool(given.get("inpainting_mask_invert"))
    values["area"] = "masked" if given.get("inpaint_full_res", True) else "whole"
    values["soft_mask"] = a1111_scripts.soft_mask(given)
    values["content"] = _named(_CONTENT, given.get("inpainting_fill", 1))
    return parse(Inpaint, {"grow_mask": 0, **values})


def _named(names: tuple[str, ...], number: Any) -> Any:
    """The name for A1111's number; the number itself where there is none, to be refused."""
    return names[number] if isinstance(number, int) and 0 <= number < len(names) else number


def plain_name(title: str) -> str:
    """A checkpoint's name without the hash that A1111 writes behind it."""
    return title.partition(" [")[0].strip()
