"""What is installed, and which of it a name or hash from elsewhere means."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from presets import prompts
from presets.errors import shortened
from presets.hires_fields import LATENT
from presets.names import HUB_ID, match_name, near_names, without_ending, writable
from presets.upscale_fields import RESAMPLERS

HASH_LEAST = 8
"""Hexadecimal digits that a hash must have to tell files apart. A1111 writes 10 of them, older programs 8."""
HASH_SHOWN = 16


What = Literal["checkpoint", "LoRA", "VAE", "control model", "upscaler", "IP-Adapter", "motion module", "face restorer"]


class Missing(BaseModel):
    """A file that is asked for and not installed. `hash` is the beginning of its SHA-256, where it was told; `near` are
    names of installed ones that look like it, the nearest first."""

    model_config = ConfigDict(frozen=True)

    what: What
    name: str
    hash: str = ""
    near: tuple[str, ...] = ()

    def __str__(self) -> str:
        mark = f" (hash {self.hash[:HASH_SHOWN]})" if self.hash else ""
        nearest = f" The nearest is {shortened(self.near[0])}." if self.near else ""
        return f"The {self.what} {shortened(self.name)}{mark} is not here.{nearest}"


@dataclass(frozen=True, slots=True)
class Available:
    """What is installed: the checkpoints' names with their SHA-256 (empty where unknown), the others' names."""

    checkpoints: Mapping[str, str]
    loras: tuple[str, ...] = ()
    vaes: tuple[str, ...] = ()
    controls: tuple[str, ...] = ()
    upscalers: tuple[str, ...] = ()
    ip_adapters: tuple[str, ...] = ()
    motion_modules: tuple[str, ...] = ()
    lora_hashes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Of LoRAs, as far as they are known."""
    face_restorers: tuple[str, ...] = ()

    def checkpoint(self, name: str, sha256: str = "", *, of_hub: bool = False) -> str | Missing:
        """The installed checkpoint with that hash, else of that name; with `of_hub` also "owner/name" as it is, which
        can be downloaded."""
        digits = sha256.lower().removeprefix("0x")
        same = [own for own, whole in self.checkpoints.items() if _begins(whole, digits)]
        found = same[0] if same else _found("checkpoint", name, digits, tuple(self.checkpoints))
        return name if isinstance(found, Missing) and of_hub and HUB_ID.fullmatch(name) else found

    def lora(self, name: str, sha256: str = "") -> str | Missing:
        """The installed LoRA one of whose hashes begins so, of several the one of that name; else that of the name."""
        digits = sha256.lower().removeprefix("0x")
        same = [own for own, known in self.lora_hashes.items() if any(_begins(whole, digits) for whole in known)]
        if same:
            return match_name(without_ending(name), same) or same[0]
        return _found("LoRA", name, sha256, self.loras)

    def vae(self, name: str, sha256: str = "") -> str | Missing:
        """The installed VAE of that name."""
        return _found("VAE", name, sha256, self.vaes)

    def control(self, name: str) -> str | Missing:
        """The installed control model of that name."""
        return _found("control model", name, "", self.controls)

    def ip_adapter(self, name: str) -> str | Missing:
        """The installed IP-Adapter of that name."""
        return _found("IP-Adapter", name, "", self.ip_adapters)

    def motion_module(self, name: str) -> str | Missing:
        """The installed motion module of that name."""
        return _found("motion module", name, "", self.motion_modules)

    def upscaler(self, name: str) -> str | Missing:
        """The installed upscaler of that name, or way of plain resampling."""
        return _found("upscaler", name, "", (*self.upscalers, *RESAMPLERS))

    def face_restorer(self, name: str) -> str | Missing:
        """The installed face restorer of that name."""
        return _found("face restorer", name, "", self.face_restorers)


def localised(
    values: Mapping[str, Any],
    available: Available,
    *,
    checkpoint_hash: str = "",
    lora_hashes: Mapping[str, str] = MappingProxyType({}),
    of_hub: bool = True,
) -> tuple[dict[str, Any], tuple[Missing, ...]]:
    """The fields `values` of a request with files under the names that they have here, and without those that are not
    here. Fields of the wrong type stay as they are."""
    own, missing = dict(values), []
    checkpoint, vae = values.get("checkpoint"), values.get("vae")
    if isinstance(checkpoint, str) and checkpoint:
        _put(own, "checkpoint", available.checkpoint(checkpoint, checkpoint_hash, of_hub=of_hub), missing)
    if isinstance(vae, str) and vae:
        _put(own, "vae", available.vae(vae), missing)
    for name in ("upscaler", "hires_upscaler"):
        upscaler = values.get(name)
        if isinstance(upscaler, str) and upscaler not in ("", LATENT):
            _put(own, name, available.upscaler(upscaler), missing)
    plain = {
        "tile_control": available.control,
        "motion_module": available.motion_module,
        "face_restorer": available.face_restorer,
    }
    for name, find in plain.items():
        model = values.get(name)
        if isinstance(model, str) and model:
            _put(own, name, find(model), missing)
    names = {name: available.lora(name, lora_hashes.get(name, "")) for name in _loras_named(values)}
    here = {name: found for name, found in names.items() if isinstance(found, str)}
    absent = names.keys() - here.keys()
    if names and isinstance(values.get("loras"), list | tuple):
        own["loras"] = [_renamed(use, here) for use in values["loras"] if _name_of(use) not in absent]
    if names and isinstance(values.get("prompt"), str):
        own["prompt"] = prompts.with_loras_named(prompts.without_loras(values["prompt"], absent), here)
    own |= _with_parts(values, "units", "control", available.control, missing)
    own |= _with_parts(values, "references", "adapter", available.ip_adapter, missing)
    return own, (*missing, *(found for found in names.values() if isinstance(found, Missing)))


def _with_parts(
    values: Mapping[str, Any], field: str, name: str, find: Callable[[str], str | Missing], missing: list[Missing]
) -> dict[str, Any]:
    """The parts in `field` with the models that are here in their field `name`; without one the first that fits is
    meant."""
    parts = values.get(field)
    if not isinstance(parts, list | tuple):
        return {}
    changed = [dict(part) if isinstance(part, Mapping) else part for part in parts]
    for part in changed:
        if isinstance(part, dict) and isinstance(part.get(name), str) and part[name]:
            _put(part, name, find(part[name]), missing)
    return {field: changed}


def _put(values: dict[str, Any], field: str, found: str | Missing, missing: list[Missing]) -> None:
    if isinstance(found, Missing):
        missing.append(found)
        del values[field]
    else:
        values[field] = found


def _loras_named(values: Mapping[str, Any]) -> list[str]:
    """The LoRAs of the list and of the prompt, each once."""
    uses, prompt = values.get("loras"), values.get("prompt")
    listed = [_name_of(use) for use in uses] if isinstance(uses, list | tuple) else []
    try:
        tags = prompts.parse(prompt).loras if isinstance(prompt, str) else ()
    except prompts.PromptWeight:
        tags = ()
    return _unique(name for name in (*listed, *(tag.name for tag in tags)) if name)


def _name_of(use: Any) -> str:
    name = use.get("name") if isinstance(use, dict) else None
    return name if isinstance(name, str) else ""


def _renamed(use: Any, names: Mapping[str, str]) -> Any:
    return use | {"name": names[_name_of(use)]} if _name_of(use) in names else use


def _begins(whole: str, digits: str) -> bool:
    """Whether a file with the hash `whole` is meant by the first `digits` of one."""
    return len(digits) >= HASH_LEAST and whole.startswith(digits)


def _found(what: What, name: str, sha256: str, names: tuple[str, ...]) -> str | Missing:
    """Names from elsewhere may have a file's ending, or be of a file in a folder that is not here."""
    plain = without_ending(name)
    for wanted in _unique((name, plain, plain.rsplit("/", 1)[-1])):
        match = match_name(wanted, names)
        if match is not None:
            return match
    return Missing(what=what, name=writable(name), hash=writable(sha256), near=tuple(near_names(plain, names)))


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
