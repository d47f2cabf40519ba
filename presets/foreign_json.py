"""Programs that write their settings as one JSON object: Fooocus, SwarmUI, InvokeAI, NovelAI."""

import re
from collections.abc import Callable, Iterable, Mapping
from itertools import zip_longest
from typing import Any

from presets import told
from presets.foreign_samplers import sampling
from presets.told import LoraTold, Told, file_of, known, list_of, object_of, text_of

_PAIR = re.compile(r"\D*(\d{1,6})\D+(\d{1,6})\D*")
_COMPEL = re.compile(r"[\w)][+]{1,20}(?:\s|,|$)|\)-?\d")
_NOVEL_WEIGHT = re.compile(r"-?\d+(?:\.\d+)?::")


def fooocus(content: Mapping[str, Any]) -> Told | None:
    if "metadata_scheme" not in content and "base_model" not in content:
        return None
    fields, notes = sampling(content.get("sampler"), content.get("scheduler"))
    size = _PAIR.fullmatch(text_of(content.get("resolution")))
    values = {
        "prompt": text_of(content.get("prompt")),
        "negative_prompt": text_of(content.get("negative_prompt")),
        "steps": told.number_of(content.get("steps")),
        "seed": told.number_of(content.get("seed")),
        "guidance_scale": told.number_of(content.get("guidance_scale")),
        "clip_skip": told.number_of(content.get("clip_skip")),
        "width": int(size[1]) if size else None,
        "height": int(size[2]) if size else None,
    }
    vae = content.get("vae")
    return Told(
        program="Fooocus",
        values=known(values) | fields,
        checkpoint=file_of(content.get("base_model"), content.get("base_model_hash")),
        vae=file_of(vae) if vae != "Default (model)" else None,
        loras=tuple(_loras(_triple(entry) for entry in list_of(content.get("loras")))),
        notes=tuple(notes),
        rest=told.rest_of(content, {*values, *_FOOOCUS_USED, *filter(_is_combined, content)}),
    )


_FOOOCUS_USED = [
    "sampler",
    "scheduler",
    "resolution",
    "base_model",
    "base_model_hash",
    "vae",
    "loras",
    "metadata_scheme",
    "version",
    "full_prompt",
    "full_negative_prompt",
    "created_by",
]


def _is_combined(key: str) -> bool:
    """Keys under which the LoRAs stand once more."""
    return key.startswith("lora_combined_")


def swarm(content: Mapping[str, Any]) -> Told | None:
    parameters = object_of(content.get("sui_image_params"))
    if not parameters:
        return None
    fields, notes = sampling(parameters.get("sampler", "euler"), parameters.get("scheduler"))
    layer = told.number_of(parameters.get("clipstopatlayer"))
    values = {
        "prompt": text_of(parameters.get("prompt")),
        "negative_prompt": text_of(parameters.get("negativeprompt")),
        "steps": told.number_of(parameters.get("steps")),
        "seed": told.number_of(parameters.get("seed")),
        "guidance_scale": told.number_of(parameters.get("cfgscale")),
        "width": told.number_of(parameters.get("width")),
        "height": told.number_of(parameters.get("height")),
        "clip_skip": -layer if isinstance(layer, int) and layer < 0 else None,
    }
    hashes = _swarm_hashes(content)
    model = text_of(parameters.get("model"))
    weights = list_of(parameters.get("loraweights"))
    pairs = zip_longest(list_of(parameters.get("loras")), weights, fillvalue=1.0)
    return Told(
        program="SwarmUI",
        values=known(values) | fields,
        checkpoint=file_of(model, hashes.get(told.text_of(model), "")),
        vae=file_of(parameters.get("vae") if parameters.get("vae") != "Automatic" else None),
        loras=tuple(_loras((name, told.number_of(weight), hashes.get(text_of(name), "")) for name, weight in pairs)),
        notes=tuple(notes),
        rest=told.rest_of(parameters, {*values, *_SWARM_USED}),
    )


_SWARM_USED = [
    "negativeprompt",
    "cfgscale",
    "clipstopatlayer",
    "model",
    "vae",
    "loras",
    "loraweights",
    "sampler",
    "scheduler",
    "swarm_version",
    "date",
    "images",
    "aspectratio",
    "generation_time",
]


def _swarm_hashes(content: Mapping[str, Any]) -> dict[str, str]:
    models = [object_of(entry) for entry in list_of(content.get("sui_models"))]
    return {text_of(entry.get("name")): text_of(entry.get("hash")) for entry in models}


def invoke(content: Mapping[str, Any]) -> Told | None:
    if not {"positive_prompt", "generation_mode", "app_version"} & content.keys():
        return None
    fields, notes = sampling(content.get("scheduler"))
    prompt = text_of(content.get("positive_prompt"))
    if _COMPEL.search(prompt):
        notes.append("InvokeAI's weights, word++ and (words)1.2, are plain text here; write (words:1.2).")
    skip = content.get("clip_skip")
    values = {
        "prompt": prompt,
        "negative_prompt": text_of(content.get("negative_prompt")),
        "steps": content.get("steps"),
        "seed": content.get("seed"),
        "guidance_scale": content.get("cfg_scale"),
        "width": content.get("width"),
        "height": content.get("height"),
        "clip_skip": skip + 1 if type(skip) is int else None,
    }
    entries = [object_of(entry) for entry in list_of(content.get("loras"))]
    loras = [(object_of(entry.get("model") or entry.get("lora")), entry.get("weight", 1.0)) for entry in entries]
    return Told(
        program="InvokeAI",
        values=known(values) | fields,
        checkpoint=_invoke_model(content.get("model")),
        vae=_invoke_model(content.get("vae")),
        loras=tuple(_loras((model.get("name") or model.get("model_name"), weight, "") for model, weight in loras)),
        notes=tuple(notes),
        rest=told.rest_of(content, {*values, *_INVOKE_USED}),
    )


_INVOKE_USED = [
    "positive_prompt",
    "cfg_scale",
    "model",
    "vae",
    "loras",
    "scheduler",
    "app_version",
    "generation_mode",
    "rand_device",
    "positive_style_prompt",
    "negative_style_prompt",
]


def _invoke_model(value: Any) -> told.File | None:
    """InvokeAI's hashes are BLAKE3, which tells nothing here."""
    model = object_of(value)
    return file_of(model.get("name") or model.get("model_name"))


def novel(content: Mapping[str, Any]) -> Told | None:
    if "uc" not in content and "v4_prompt" not in content:
        return None
    fields, notes = sampling(content.get("sampler"), content.get("noise_schedule"))
    prompt, negative = text_of(content.get("prompt")), text_of(content.get("uc"))
    if _NOVEL_WEIGHT.search(prompt):
        notes.append("NovelAI's weights, 1.3::words::, are plain text here; write (words:1.3).")
    values = {
        "prompt": from_novel(prompt),
        "negative_prompt": from_novel(negative),
        "steps": content.get("steps"),
        "seed": content.get("seed"),
        "guidance_scale": content.get("scale"),
        "width": content.get("width"),
        "height": content.get("height"),
    }
    notes.append("NovelAI's models are not to be had; any other draws another picture.")
    return Told(
        program="NovelAI",
        values=known(values) | fields,
        notes=tuple(notes),
        rest=told.rest_of(content, {*values, *_NOVEL_USED}),
    )


_NOVEL_USED = [
    "uc",
    "scale",
    "sampler",
    "noise_schedule",
    "v4_prompt",
    "v4_negative_prompt",
    "n_samples",
    "signed_hash",
    "request_type",
    "version",
]


def from_novel(prompt: str) -> str:
    """NovelAI's `{word}` and `[word]`, 1.05 times as strong and as weak, in A1111's syntax."""
    literal = prompt.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
    for opening, closing, weight in (("{", "}", "1.05"), ("[", "]", "0.952")):
        if literal.count(opening) == literal.count(closing):
            literal = literal.replace(opening, "(").replace(closing, f":{weight})")
    return literal


def _triple(entry: Any) -> tuple[Any, Any, Any]:
    """Name, strength and hash, of which the last may not be there."""
    parts = list_of(entry)[:3]
    name, strength, digits = (*parts, *(None, 1.0, "")[len(parts) :])
    return name, told.number_of(strength), digits


def _loras(entries: Iterable[tuple[Any, Any, Any]]) -> list[LoraTold]:
    named = ((file_of(name, digits), weight) for name, weight, digits in entries)
    return [LoraTold(file, weight) for file, weight in named if file]


def parsed(text: str | None, readers: Iterable[Callable[[Mapping[str, Any]], Told | None]]) -> Told | None:
    """What the first of `readers` that knows the JSON object `text` says of it."""
    content = told.json_object(text)
    return next(filter(None, (reader(content) for reader in readers)), None) if content else None
