"""ComfyUI's `prompt`: a graph of nodes, walked from a sampler up to what it draws with.

A node is `{"class_type": ..., "inputs": {name: value or [node, slot]}}`. The walk knows a node by the names of its
inputs rather than by its class, of which there are thousands. It never visits a node twice, so that circles end.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from presets import told
from presets.foreign_samplers import sampling
from presets.told import LoraTold, Told, known, list_of, object_of, text_of

NODES_LIMIT = 5000
LINKS_LIMIT = 200_000
"""Links followed in one graph, all walks together. A workflow of a hundred nodes takes some thousand."""

_Inputs = Mapping[str, Any]
_BRACKET = re.compile(r"(?<!\\)([\[\]])")
_EMBEDDING = re.compile(r"\bembedding:\s*([^\s,()]+)", re.I)
_TEXTS = ("text", "text_g", "prompt", "positive", "string", "value", "text_positive", "wildcard_text", "populated_text")
_CHECKPOINTS = ("ckpt_name", "unet_name", "model_name", "base_ckpt_name")
_SIZES = ("width", "height", "batch_size")
_ABOVE_MODEL = ("model", "model1", "guider", "base_model")
_ABOVE_CLIP = ("clip", "clip1")
_ABOVE_CONDITIONING = ("conditioning", "conditioning_1", "conditioning_to", "positive", "base_positive")


class _Graph:
    def __init__(self, content: Mapping[str, Any]):
        nodes = list(content.items())[:NODES_LIMIT]
        self.nodes: dict[str, _Inputs] = {key: object_of(object_of(node).get("inputs")) for key, node in nodes}
        self.classes = {key: text_of(object_of(node).get("class_type")) for key, node in nodes}
        self._left = LINKS_LIMIT

    def linked(self, value: Any) -> str | None:
        """The node that a link leads to, or None where `value` is no link."""
        link = list_of(value)
        key = str(link[0]) if len(link) == 2 and isinstance(link[0], str | int) else None
        return key if key in self.nodes else None

    def above(self, start: Any, names: tuple[str, ...] | None = None) -> Iterator[tuple[str, _Inputs]]:
        """The node that the link `start` leads to and those above it, the nearest first: by way of the inputs `names`,
        or of all. Each once."""
        first = self.linked(start)
        waiting, seen = [first] if first else [], {first}
        for key in waiting:
            inputs = self.nodes[key]
            yield key, inputs
            followed = tuple(inputs) if names is None else names
            self._left -= len(followed)
            if self._left < 0:
                return
            for name in followed:
                following = self.linked(inputs.get(name))
                if following is not None and following not in seen:
                    seen.add(following)
                    waiting.append(following)

    def input_above(self, start: Any, wanted: tuple[str, ...], names: tuple[str, ...] | None = None) -> Any:
        """The first value of one of the inputs `wanted` that is no link, of the nodes `above`."""
        for _, inputs in self.above(start, names):
            for name in wanted:
                if name in inputs and not isinstance(inputs[name], list):
                    return inputs[name]
        return None

    def value(self, inputs: _Inputs, *names: str) -> Any:
        """The value of the first of these inputs that there is, also where a link leads to a node that holds it."""
        given = next((inputs[name] for name in names if name in inputs), None)
        return self.input_above(given, (*names, "value", "seed", "int", "float", "string")) if list_of(given) else given


def read(content: Mapping[str, Any]) -> Told | None:
    """What the graph `content` tells; None where no node in it samples."""
    graph = _Graph(content)
    samplers = [inputs for inputs in graph.nodes.values() if "latent_image" in inputs and _conditions(graph, inputs)]
    if not samplers:
        return None
    chosen = next((inputs for inputs in samplers if _size(graph, inputs)), samplers[0])
    return _told(graph, chosen, len(samplers))


def _told(graph: _Graph, sampler: _Inputs, samplers: int) -> Told:
    positive, negative, model = _conditions(graph, sampler) or (None, None, None)
    fields, notes = sampling(
        _sampler_value(graph, sampler, "sampler_name"), _sampler_value(graph, sampler, "scheduler")
    )
    width, height, count = _size(graph, sampler) or (None, None, None)
    values = {
        "prompt": _words(graph, positive),
        "negative_prompt": _words(graph, negative),
        "seed": _sampler_value(graph, sampler, "seed", "noise_seed"),
        "steps": _sampler_value(graph, sampler, "steps"),
        "guidance_scale": _sampler_value(graph, sampler, "cfg"),
        "width": width,
        "height": height,
        "count": count if type(count) is int and count > 1 else None,
        "clip_skip": _clip_skip(graph, positive),
    }
    if samplers > 1:
        notes.append(f"The graph samples {samplers} times; the settings are those of the first picture it makes.")
    return Told(
        program="ComfyUI",
        values=known(values) | fields,
        checkpoint=told.file_of(graph.input_above(model, _CHECKPOINTS, _ABOVE_MODEL)),
        vae=_vae(graph),
        loras=tuple(_loras(graph, model)),
        notes=tuple(notes),
        rest=_rest(graph, sampler),
    )


def _conditions(graph: _Graph, sampler: _Inputs) -> tuple[Any, Any, Any] | None:
    """The links to the positive and the negative conditioning and the model, which a guider may hold."""
    inputs = sampler
    guider = graph.linked(sampler.get("guider"))
    if guider is not None:
        inputs = graph.nodes[guider]
    positive = inputs.get("positive", inputs.get("conditioning"))
    return (positive, inputs.get("negative"), inputs.get("model")) if positive is not None else None


def _sampler_value(graph: _Graph, sampler: _Inputs, *names: str) -> Any:
    """A value of the sampler, or of the nodes that a custom one takes it from."""
    value = graph.value(sampler, *names)
    if value is not None:
        return value
    for part in ("noise", "sampler", "sigmas", "guider"):
        for _, inputs in graph.above(sampler.get(part), ("sampler", "sigmas", "noise")):
            value = graph.value(inputs, *names)
            if value is not None:
                return value
    return None


def _size(graph: _Graph, sampler: _Inputs) -> tuple[Any, Any, Any] | None:
    """Width, height and number of the empty picture that the sampler begins with, where it is an empty one."""
    latent = graph.linked(sampler.get("latent_image"))
    inputs = graph.nodes[latent] if latent is not None else {}
    if not {"width", "height"} <= inputs.keys() or any(name in inputs for name in ("samples", "pixels", "image")):
        return None
    width, height, count = (graph.value(inputs, name) for name in _SIZES)
    return width, height, count


def _words(graph: _Graph, start: Any) -> str | None:
    """The text of the nearest node above the conditioning `start` that holds one, in A1111's syntax."""
    for _, inputs in graph.above(start, _ABOVE_CONDITIONING):
        for name in _TEXTS:
            text = inputs.get(name)
            if isinstance(text, list) and name.startswith("text"):
                text = graph.input_above(text, _TEXTS)
            if isinstance(text, str):
                return _EMBEDDING.sub(r"\1", _BRACKET.sub(r"\\\1", text))
    return None


def _clip_skip(graph: _Graph, conditioning: Any) -> int | None:
    for _, inputs in graph.above(conditioning, (*_ABOVE_CONDITIONING, *_ABOVE_CLIP)):
        layer = inputs.get("stop_at_clip_layer")
        if type(layer) is int and layer < 0:
            return -layer
    return None


def _loras(graph: _Graph, model: Any) -> Iterator[LoraTold]:
    for _, inputs in graph.above(model, _ABOVE_MODEL):
        file = told.file_of(inputs.get("lora_name"))
        if file:
            strength, text = inputs.get("strength_model", 1.0), inputs.get("strength_clip")
            yield LoraTold(file, strength, text if text != strength else None)
        for entry in map(object_of, inputs.values()):  # loaders of several, each with a switch
            file = told.file_of(entry.get("lora")) if entry.get("on") else None
            if file:
                yield LoraTold(file, entry.get("strength", 1.0))


def _vae(graph: _Graph) -> told.File | None:
    names = (inputs.get("vae_name") for key, inputs in graph.nodes.items() if "Load" in graph.classes[key])
    return next(filter(None, map(told.file_of, names)), None)


def _rest(graph: _Graph, sampler: _Inputs) -> dict[str, str]:
    """What the walk passed and has no field for."""
    rest = {}
    denoise = _sampler_value(graph, sampler, "denoise")
    if isinstance(denoise, int | float) and denoise < 1:
        rest["denoise"] = denoise
    for key, _ in graph.above(sampler.get("latent_image")):
        if "Load" in graph.classes[key] and "Image" in graph.classes[key]:
            rest["a given picture"] = graph.nodes[key].get("image")
    for _, inputs in graph.above(sampler.get("positive", sampler.get("guider"))):
        control = inputs.get("control_net_name")
        if control:
            rest["ControlNet"] = control
    return told.rest_of(rest, ())
