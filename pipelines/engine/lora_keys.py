"""Names of a LoRA file's tensors, as kohya, LyCORIS, diffusers, PEFT and ComfyUI spell them, taken apart.

    lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight              kohya
    lora_unet_input_blocks_1_1_proj_in.lora_down.weight                        kohya, with the original block names
    unet.down_blocks.0.attentions.0.proj_in.lora.down.weight                   diffusers, before PEFT
    unet.down_blocks.0.attentions.0.attn1.processor.to_q_lora.down.weight      diffusers, the oldest
    unet.down_blocks.0.attentions.0.proj_in.lora_A.weight                      diffusers
    base_model.model.down_blocks.0.attentions.0.proj_in.lora_A.weight          PEFT
    diffusion_model.input_blocks.1.1.proj_in.lora_down.weight                  ComfyUI
    lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight                    kohya, Flux
    lora_unet_joint_blocks_0_x_block_attn_qkv.lora_down.weight                 kohya, Stable Diffusion 3

Where a name has underscores for the dots of a module's path, they cannot be told from its own; so all paths are
compared `flat`, with underscores only.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

UNET, TEXT, TEXT_2, TEXT_3, TRANSFORMER = "unet", "text_encoder", "text_encoder_2", "text_encoder_3", "transformer"


@dataclass(frozen=True, slots=True)
class Layer:
    """What a group of tensors changes: a module, by its flat path within a component of the pipeline."""

    component: str
    path: str


Parts = Mapping[str, str]
"""Role ("down", "up", "alpha" ...) -> the name of the tensor that plays it."""

_PREFIXES = (
    ("lora_unet_", UNET),
    ("lora_te1_", TEXT),
    ("lora_te2_", TEXT_2),
    ("lora_te3_", TEXT_3),
    ("lora_te_", TEXT),
    ("lora_transformer_", TRANSFORMER),
    ("text_encoders.clip_l.transformer.", TEXT),
    ("text_encoders.clip_g.transformer.", TEXT_2),
    ("model.diffusion_model.", UNET),
    ("diffusion_model.", UNET),
    ("base_model.model.", ""),
    ("unet.", UNET),
    ("transformer.", TRANSFORMER),
    ("text_encoder_2.", TEXT_2),
    ("text_encoder.", TEXT),
)
_BY_FIRST_WORDS = (
    (("down_blocks_", "up_blocks_", "mid_block_", "input_blocks_", "output_blocks_", "middle_block_"), UNET),
    (("text_model_", "encoder_layers_"), TEXT),
    (("transformer_blocks_", "single_transformer_blocks_"), TRANSFORMER),
)
_END = re.compile(
    r"(?:(?P<old>_lora)\.(?P<old_role>down|up)\.weight"
    r"|\.lora\.(?P<lora>down|up)\.weight"
    r"|\.lora_linear_layer\.(?P<linear>down|up)\.weight"
    r"|\.lora_(?P<kohya>down|up|mid)\.weight"
    r"|\.lora_(?P<peft>A|B)(?:\.\w+)?\.weight"
    r"|\.(?P<magnitude>lora_magnitude_vector)(?:\.\w+){0,2}"
    r"|\.(?P<plain>alpha|dora_scale|diff|diff_b|w_norm|b_norm|hada_(?:w[12]_[ab]|t[12])|lokr_(?:w[12](?:_[ab])?|t2)))\Z"
)
_ROLES = {"A": "down", "B": "up", "lora_magnitude_vector": "magnitude", "w_norm": "diff", "b_norm": "diff_b"}
_OLD_PATHS = (("_processor_", "_"), ("_to_out", "_to_out_0"))
_OLD_TEXT_PATHS = (("_to_q", "_q_proj"), ("_to_k", "_k_proj"), ("_to_v", "_v_proj"), ("_to_out", "_out_proj"))


def flat(path: str) -> str:
    """A module's path as it is compared: with underscores for dots, without the frame that text encoders may have."""
    return path.replace(".", "_").removeprefix("text_model_")


def grouped(names: Iterable[str]) -> tuple[dict[Layer, dict[str, str]], tuple[str, ...]]:
    """The parts of each layer, and the names that are none."""
    layers: dict[Layer, dict[str, str]] = {}
    others = []
    for name in names:
        end = _END.search(name)
        if end is None:
            others.append(name)
            continue
        role = next(text for group, text in end.groupdict().items() if text and group != "old")
        layer = _layer(name[: end.start()], is_old=bool(end["old"]))
        layers.setdefault(layer, {})[_ROLES.get(role, role)] = name
    return layers, tuple(others)


def is_whole(parts: Parts) -> bool:
    """Whether a change can be computed from the parts that are there."""
    return any(
        all(any(name in parts for name in either.split("|")) for either in needed.split())
        for needed in (
            "down up",
            "hada_w1_a hada_w1_b hada_w2_a hada_w2_b",
            "lokr_w1|lokr_w1_a lokr_w1|lokr_w1_b lokr_w2|lokr_w2_a lokr_w2|lokr_w2_b",
            "diff|diff_b",
        )
    )


def kind_of(layers: Mapping[Layer, Parts], shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Such as "LoRA" or "DoRA"; empty where no change is among the layers."""
    roles = {role for parts in layers.values() for role in parts}
    if roles & {"dora_scale", "magnitude"}:
        return "DoRA"
    for mark, kind in (("hada_w1_a", "LoHa"), ("lokr_w1", "LoKr"), ("lokr_w1_a", "LoKr")):
        if mark in roles:
            return kind
    downs = [shapes[parts["down"]] for parts in layers.values() if "down" in parts]
    if any(len(shape) == 4 and max(shape[2:]) > 1 for shape in downs) or "mid" in roles:
        return "LoCon"
    return "LoRA" if downs else "weights" if roles & {"diff", "diff_b"} else ""


def rank_of(layers: Mapping[Layer, Parts], shapes: Mapping[str, tuple[int, ...]]) -> int | None:
    """The most frequent rank; None where there is none, as with a LoKr of whole matrices."""
    firsts = ("down", "hada_w1_b", "lokr_w2_b", "lokr_w1_b")
    ranks = Counter(
        shapes[parts[role]][0] for parts in layers.values() for role in firsts if role in parts and shapes[parts[role]]
    )
    return ranks.most_common(1)[0][0] if ranks else None


def _layer(stem: str, is_old: bool) -> Layer:
    component = ""
    while prefix := next((prefix for prefix in _PREFIXES if stem.startswith(prefix[0])), None):
        stem = stem.removeprefix(prefix[0])
        component = component or prefix[1]
    path = stem.replace(".", "_")
    component = component or next((found for words, found in _BY_FIRST_WORDS if path.startswith(words)), "")
    if is_old:
        for before, after in _OLD_TEXT_PATHS if component.startswith(TEXT) else _OLD_PATHS:
            path = path.replace(before, after) if before.endswith("_") else _with_end(path, before, after)
    return Layer(component, flat(path))


def _with_end(path: str, before: str, after: str) -> str:
    return path.removesuffix(before) + after if path.endswith(before) else path


_ORIGINAL_ENDS = {
    "conv_in": "input_blocks_0_0",
    "conv_out": "out_2",
    "time_embedding.linear_1": "time_embed_0",
    "time_embedding.linear_2": "time_embed_2",
    "add_embedding.linear_1": "label_emb_0_0",
    "add_embedding.linear_2": "label_emb_0_2",
}
_ORIGINAL_RESNET = {
    "norm1": "in_layers_0",
    "conv1": "in_layers_2",
    "time_emb_proj": "emb_layers_1",
    "norm2": "out_layers_0",
    "conv2": "out_layers_3",
    "conv_shortcut": "skip_connection",
}
_MIDDLE = {("resnets", 0): 0, ("attentions", 0): 1, ("resnets", 1): 2}
_BLOCK = re.compile(
    r"(?P<side>down|up|mid)_block(?:s\.(?P<block>\d+))?\.(?P<part>resnets|attentions|downsamplers|upsamplers)"
    r"\.(?P<inner>\d+)(?:\.(?P<rest>.+))?"
)


def original_paths(paths: Iterable[str]) -> dict[str, str]:
    """The flat paths that the modules of a diffusers UNet have in the original layout -> `paths`, where they differ.

    Kohya's trainer names those of SDXL so. Blocks count on from one to the next: each has as many places as layers and
    one more, in the first half for what makes the picture smaller, in the second for the layer more that it has.
    """
    paths = list(paths)
    layers = 1 + max(
        (int(path.split(".")[3]) for path in paths if path.startswith("down_blocks.0.resnets.")), default=0
    )
    attentive = {path.split(".")[1] for path in paths if path.startswith("up_blocks.") and ".attentions." in path}
    originals = ((_original_path(path, layers, attentive), path) for path in paths)
    return {original: path for original, path in originals if original}


def _original_path(path: str, layers: int, attentive: Collection[str]) -> str:
    found = _BLOCK.fullmatch(path)
    if found is None:
        return _ORIGINAL_ENDS.get(path, "")
    block, inner, part = int(found["block"] or 0), int(found["inner"]), found["part"]
    rest = found["rest"] or ""
    rest = _ORIGINAL_RESNET.get(rest, rest) if part == "resnets" else rest
    if part == "downsamplers":
        return f"input_blocks_{(block + 1) * (layers + 1)}_0_op"
    if part == "upsamplers":
        return f"output_blocks_{block * (layers + 1) + layers}_{2 if found['block'] in attentive else 1}_conv"
    if found["side"] == "mid":
        place = f"middle_block_{_MIDDLE.get((part, inner), inner)}"
    else:
        number = block * (layers + 1) + inner + (found["side"] == "down")
        place = f"{'input' if found['side'] == 'down' else 'output'}_blocks_{number}_{int(part == 'attentions')}"
    return f"{place}_{flat(rest)}"


_QKV = ("attn.to_q", "attn.to_k", "attn.to_v")
_ADDED_QKV = ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj")
_ORIGINAL_BLOCKS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "transformer_blocks.{}.": {
        "double_blocks_{}_img_attn_qkv": _QKV,
        "double_blocks_{}_txt_attn_qkv": _ADDED_QKV,
        "double_blocks_{}_img_attn_proj": ("attn.to_out.0",),
        "double_blocks_{}_txt_attn_proj": ("attn.to_add_out",),
        "double_blocks_{}_img_mlp_0": ("ff.net.0.proj",),
        "double_blocks_{}_img_mlp_2": ("ff.net.2",),
        "double_blocks_{}_txt_mlp_0": ("ff_context.net.0.proj",),
        "double_blocks_{}_txt_mlp_2": ("ff_context.net.2",),
        "double_blocks_{}_img_mod_lin": ("norm1.linear",),
        "double_blocks_{}_txt_mod_lin": ("norm1_context.linear",),
        "joint_blocks_{}_x_block_attn_qkv": _QKV,
        "joint_blocks_{}_x_block_attn2_qkv": ("attn2.to_q", "attn2.to_k", "attn2.to_v"),
        "joint_blocks_{}_context_block_attn_qkv": _ADDED_QKV,
        "joint_blocks_{}_x_block_attn_proj": ("attn.to_out.0",),
        "joint_blocks_{}_x_block_attn2_proj": ("attn2.to_out.0",),
        "joint_blocks_{}_context_block_attn_proj": ("attn.to_add_out",),
        "joint_blocks_{}_x_block_mlp_fc1": ("ff.net.0.proj",),
        "joint_blocks_{}_x_block_mlp_fc2": ("ff.net.2",),
        "joint_blocks_{}_context_block_mlp_fc1": ("ff_context.net.0.proj",),
        "joint_blocks_{}_context_block_mlp_fc2": ("ff_context.net.2",),
        "joint_blocks_{}_x_block_adaLN_modulation_1": ("norm1.linear",),
        "joint_blocks_{}_context_block_adaLN_modulation_1": ("norm1_context.linear",),
    },
    "single_transformer_blocks.{}.": {
        "single_blocks_{}_linear1": (*_QKV, "proj_mlp"),
        "single_blocks_{}_linear2": ("proj_out",),
        "single_blocks_{}_modulation_lin": ("norm.linear",),
    },
}
"""The blocks of a transformer (Flux, Stable Diffusion 3) in the original layout: which of diffusers' modules each
weight is, several one below the other. The names of both families' blocks are tried on either."""


def original_parts(paths: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The flat paths that weights of a diffusers transformer have in the original layout -> the `paths` whose weights
    stand in it one below the other.

    Stable Diffusion 3's last modulation of the text is left out: its halves are in another order there.
    """
    known = set(paths)
    numbers = {path.split(".")[1] for path in known if "transformer_blocks." in path}
    found = {}
    for block, weights in _ORIGINAL_BLOCKS.items():
        for number in numbers:
            start = block.format(number)
            is_last = start + "attn.to_add_out" not in known
            for name, ends in weights.items():
                if all(start + end in known for end in ends) and not (is_last and ends == ("norm1_context.linear",)):
                    found[name.format(number)] = tuple(start + end for end in ends)
    return found
