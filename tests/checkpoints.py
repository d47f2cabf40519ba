"""Tiny checkpoints of the real architectures with random weights, as diffusers folders and as single files in the
original key layout."""

import re
import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import save_file
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

from pipelines.engine.families import CONFIGS

Tensors = dict[str, torch.Tensor]


def tiny_sd1(seed: int = 0, width: int = 64) -> StableDiffusionPipeline:
    torch.manual_seed(seed)
    return StableDiffusionPipeline(
        tokenizer=CLIPTokenizer.from_pretrained(CONFIGS / "clip"),
        text_encoder=CLIPTextModel(_text("quick_gelu")).half().eval(),
        unet=UNet2DConditionModel(
            sample_size=16,
            block_out_channels=(32, width),
            layers_per_block=1,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=64,
            attention_head_dim=8,
        )
        .half()
        .eval(),
        vae=_vae(0.18215),
        scheduler=_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def tiny_sd2(seed: int = 0, prediction: str = "epsilon") -> StableDiffusionPipeline:
    torch.manual_seed(seed)
    return StableDiffusionPipeline(
        tokenizer=CLIPTokenizer.from_pretrained(CONFIGS / "clip", pad_token="!"),
        text_encoder=CLIPTextModel(_text("gelu")).half().eval(),
        unet=UNet2DConditionModel(
            sample_size=16,
            block_out_channels=(64, 128),
            layers_per_block=1,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=64,
            attention_head_dim=(1, 2),
            use_linear_projection=True,
        )
        .half()
        .eval(),
        vae=_vae(0.18215),
        scheduler=_scheduler(prediction),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def tiny_refiner(seed: int = 0) -> StableDiffusionXLImg2ImgPipeline:
    torch.manual_seed(seed)
    return StableDiffusionXLImg2ImgPipeline(
        tokenizer=None,
        tokenizer_2=CLIPTokenizer.from_pretrained(CONFIGS / "clip", pad_token="!"),
        text_encoder=None,
        text_encoder_2=CLIPTextModelWithProjection(_text("gelu")).half().eval(),
        unet=UNet2DConditionModel(
            sample_size=16,
            block_out_channels=(64, 128),
            layers_per_block=1,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            transformer_layers_per_block=2,
            cross_attention_dim=64,
            attention_head_dim=(1, 2),
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=64 + 5 * 8,
        )
        .half()
        .eval(),
        vae=_vae(0.13025),
        scheduler=_scheduler(),
        requires_aesthetics_score=True,
        add_watermarker=False,
    )


def tiny_sdxl(seed: int = 0) -> StableDiffusionXLPipeline:
    torch.manual_seed(seed)
    return StableDiffusionXLPipeline(
        tokenizer=CLIPTokenizer.from_pretrained(CONFIGS / "clip"),
        tokenizer_2=CLIPTokenizer.from_pretrained(CONFIGS / "clip", pad_token="!"),
        text_encoder=CLIPTextModel(_text("quick_gelu")).half().eval(),
        text_encoder_2=CLIPTextModelWithProjection(_text("gelu")).half().eval(),
        unet=UNet2DConditionModel(
            sample_size=16,
            block_out_channels=(64, 128),
            layers_per_block=2,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            transformer_layers_per_block=(1, 2),
            cross_attention_dim=128,
            attention_head_dim=(1, 2),
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=64 + 6 * 8,
        )
        .half()
        .eval(),
        vae=_vae(0.13025),
        scheduler=_scheduler(),
        add_watermarker=False,
    )


def tiny_sd3(seed: int = 0, with_t5: bool = True) -> StableDiffusion3Pipeline:
    torch.manual_seed(seed)
    encoders = {
        "text_encoder": CLIPTextModelWithProjection(_text("quick_gelu")).half().eval(),
        "text_encoder_2": CLIPTextModelWithProjection(_text("gelu")).half().eval(),
        "text_encoder_3": _t5(128) if with_t5 else None,
    }
    return StableDiffusion3Pipeline(
        tokenizer=CLIPTokenizer.from_pretrained(CONFIGS / "clip"),
        tokenizer_2=CLIPTokenizer.from_pretrained(CONFIGS / "clip", pad_token="!"),
        tokenizer_3=_t5_tokenizer() if with_t5 else None,
        **encoders,
        transformer=SD3Transformer2DModel(
            sample_size=16,
            num_layers=2,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=128,
            caption_projection_dim=32,
            pooled_projection_dim=128,
            pos_embed_max_size=32,
        )
        .half()
        .eval(),
        vae=_vae(1.5305, channels=16, shift_factor=0.0609),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
    )


def tiny_flux(seed: int = 0, guidance: bool = True) -> FluxPipeline:
    torch.manual_seed(seed)
    return FluxPipeline(
        tokenizer=CLIPTokenizer.from_pretrained(CONFIGS / "clip"),
        tokenizer_2=_t5_tokenizer(),
        text_encoder=CLIPTextModel(_text("quick_gelu")).half().eval(),
        text_encoder_2=_t5(64),
        transformer=FluxTransformer2DModel(
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=64,
            pooled_projection_dim=64,
            guidance_embeds=guidance,
            axes_dims_rope=(4, 6, 6),
        )
        .half()
        .eval(),
        vae=_vae(0.3611, channels=16, shift_factor=0.1159),
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
    )


def _t5(width: int) -> T5EncoderModel:
    config = T5Config(vocab_size=256, d_model=width, d_kv=16, d_ff=64, num_layers=2, num_heads=2)
    return T5EncoderModel(config).half().eval()


def _t5_tokenizer() -> T5Tokenizer:
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\N{LOWER ONE EIGHTH BLOCK}", -2.0)]
    letters = [(letter, -3.0) for letter in "abcdefghijklmnopqrstuvwxyz"]
    return T5Tokenizer(vocab=[*pieces, *letters], extra_ids=0, model_max_length=512)


def _text(activation: str) -> CLIPTextConfig:
    return CLIPTextConfig(
        hidden_size=64,
        intermediate_size=96,
        projection_dim=64,
        num_hidden_layers=2,
        num_attention_heads=1,
        hidden_act=activation,
        eos_token_id=49407,
    )


def _vae(scaling_factor: float, channels: int = 4, shift_factor: float | None = None) -> AutoencoderKL:
    vae = AutoencoderKL(
        latent_channels=channels,
        shift_factor=shift_factor,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        scaling_factor=scaling_factor,
    )
    return vae.half().eval()


def _scheduler(prediction: str = "epsilon") -> DDIMScheduler:
    return DDIMScheduler(
        prediction_type=prediction,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def save_folder(pipe: Any, path: Path) -> Path:
    """The pipeline as a diffusers folder, its tokenizers as vocabulary and merges, as published folders have them."""
    pipe.save_pretrained(path, safe_serialization=True)
    for tokenizer in (folder for folder in path.glob("tokenizer*") if _is_clip(folder)):
        (tokenizer / "tokenizer.json").unlink()
        for name in ("vocab.json", "merges.txt"):
            shutil.copy(CONFIGS / "clip" / name, tokenizer)
    return path


def _is_clip(tokenizer: Path) -> bool:
    return "CLIP" in (tokenizer / "tokenizer_config.json").read_text()


def save_single_file(pipe: Any, path: Path, metadata: dict[str, str] | None = None, **marks: torch.Tensor) -> Path:
    """The pipeline's weights in the original layout; `marks` are further tensors by their names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(original_layout(pipe) | marks, path, metadata)
    return path


def save_vae(vae: AutoencoderKL, path: Path, prefix: str) -> Path:
    """A VAE alone in the original layout, its names beginning with `prefix`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = original_vae(vae).items()
    save_file({prefix + name.removeprefix("first_stage_model."): tensor.contiguous() for name, tensor in tensors}, path)
    return path


def original_layout(pipe: Any) -> Tensors:
    """The pipeline's weights under the names of a checkpoint in one file."""
    tensors = original_unet(pipe.unet) | original_vae(pipe.vae)
    if isinstance(pipe, StableDiffusionXLImg2ImgPipeline):
        tensors |= original_open_clip(pipe.text_encoder_2, "conditioner.embedders.0.model.")
    elif isinstance(pipe, StableDiffusionXLPipeline):
        tensors |= original_clip(pipe.text_encoder, "conditioner.embedders.0.transformer.")
        tensors |= original_open_clip(pipe.text_encoder_2, "conditioner.embedders.1.model.")
    elif pipe.unet.config["use_linear_projection"]:
        tensors |= original_open_clip(pipe.text_encoder, "cond_stage_model.model.", unread_layers=1)
    else:
        tensors |= original_clip(pipe.text_encoder, "cond_stage_model.transformer.")
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


_UNET_ENDS = {
    "conv_in.": "input_blocks.0.0.",
    "conv_norm_out.": "out.0.",
    "conv_out.": "out.2.",
    "time_embedding.linear_1.": "time_embed.0.",
    "time_embedding.linear_2.": "time_embed.2.",
    "add_embedding.linear_1.": "label_emb.0.0.",
    "add_embedding.linear_2.": "label_emb.0.2.",
    "mid_block.resnets.0.": "middle_block.0.",
    "mid_block.attentions.0.": "middle_block.1.",
    "mid_block.resnets.1.": "middle_block.2.",
}
_RESNET = {
    "norm1.": "in_layers.0.",
    "conv1.": "in_layers.2.",
    "time_emb_proj.": "emb_layers.1.",
    "norm2.": "out_layers.0.",
    "conv2.": "out_layers.3.",
    "conv_shortcut.": "skip_connection.",
}


def original_unet(unet: UNet2DConditionModel) -> Tensors:
    layers = unet.config["layers_per_block"]
    with_attention = [kind.startswith("CrossAttn") for kind in unet.config["up_block_types"]]

    def block(match: re.Match[str]) -> str:
        side, part = match["side"], match["part"]
        index, inner = int(match["block"]), int(match["inner"])
        if part == "downsamplers":
            return f"input_blocks.{(index + 1) * (layers + 1)}.0.op."
        if part == "upsamplers":
            return f"output_blocks.{index * (layers + 1) + layers}.{2 if with_attention[index] else 1}.conv."
        place = index * (layers + 1) + inner + (1 if side == "down" else 0)
        return f"{'input' if side == 'down' else 'output'}_blocks.{place}.{1 if part == 'attentions' else 0}."

    pattern = r"^(?P<side>down|up)_blocks\.(?P<block>\d+)\.(?P<part>[a-z]+)\.(?P<inner>\d+)\.(conv\.)?(?=.)"

    def rename(name: str) -> str:
        if ".resnets." in name:
            name = _replaced(name, _RESNET)
            return re.sub(pattern, block, _replaced(name, _UNET_ENDS))
        return re.sub(pattern, block, _replaced(name, _UNET_ENDS, at_start=True))

    return {f"model.diffusion_model.{rename(name)}": tensor for name, tensor in unet.state_dict().items()}


def _replaced(name: str, table: dict[str, str], at_start: bool = False) -> str:
    for old, new in table.items():
        if name.startswith(old):
            return new + name[len(old) :]
        if not at_start and f".{old}" in name:
            return name.replace(f".{old}", f".{new}")
    return name


_VAE_PARTS = {
    "conv_norm_out.": "norm_out.",
    "conv_shortcut.": "nin_shortcut.",
    "downsamplers.0.": "downsample.",
    "upsamplers.0.": "upsample.",
    "mid_block.resnets.0.": "mid.block_1.",
    "mid_block.resnets.1.": "mid.block_2.",
    "mid_block.attentions.0.": "mid.attn_1.",
    ".resnets.": ".block.",
    ".group_norm.": ".norm.",
    ".to_q.": ".q.",
    ".to_k.": ".k.",
    ".to_v.": ".v.",
    ".to_out.0.": ".proj_out.",
    "down_blocks.": "down.",
}


def original_vae(vae: AutoencoderKL) -> Tensors:
    last = len(vae.config["block_out_channels"]) - 1
    result = {}
    for name, tensor in vae.state_dict().items():
        for old, new in _VAE_PARTS.items():
            name = name.replace(old, new)
        name = re.sub(r"up_blocks\.(\d+)\.", lambda match: f"up.{last - int(match[1])}.", name)
        is_projection = ".attn_1." in name and name.endswith("weight") and ".norm." not in name
        result[f"first_stage_model.{name}"] = tensor[:, :, None, None] if is_projection else tensor
    return result


def original_clip(encoder: CLIPTextModel, prefix: str) -> Tensors:
    state = {name.removeprefix("text_model."): tensor for name, tensor in encoder.state_dict().items()}
    positions = {f"{prefix}text_model.embeddings.position_ids": torch.arange(77)[None]}
    return positions | {f"{prefix}text_model.{name}": tensor for name, tensor in state.items()}


_OPEN_CLIP = {
    "text_model.embeddings.token_embedding.": "token_embedding.",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm.": "ln_final.",
    "text_model.encoder.layers.": "transformer.resblocks.",
    ".layer_norm1.": ".ln_1.",
    ".layer_norm2.": ".ln_2.",
    ".mlp.fc1.": ".mlp.c_fc.",
    ".mlp.fc2.": ".mlp.c_proj.",
    ".self_attn.": ".attn.",
}


def original_open_clip(encoder: Any, prefix: str, unread_layers: int = 0) -> Tensors:
    """In open_clip's names, with a projection and `unread_layers` more layers whatever the encoder has."""
    state = {f"text_model.{name.removeprefix('text_model.')}": tensor for name, tensor in encoder.state_dict().items()}
    projection = state.pop("text_model.text_projection.weight", torch.eye(encoder.config.hidden_size))
    last = encoder.config.num_hidden_layers - 1
    for name, tensor in list(state.items()):
        if f".layers.{last}." in name and unread_layers:
            state[name.replace(f".layers.{last}.", f".layers.{last + 1}.")] = torch.zeros_like(tensor)
    result = {f"{prefix}text_projection": projection.T, f"{prefix}logit_scale": torch.ones(())}
    for name, tensor in state.items():
        for old, new in _OPEN_CLIP.items():
            name = name.replace(old, new)
        if ".q_proj." in name:
            rows = [state[_diffusers_name(name).replace("q_proj", f"{letter}_proj")] for letter in "qkv"]
            result[prefix + name.replace(".q_proj.", ".in_proj_")] = torch.cat(rows)
        elif ".k_proj." not in name and ".v_proj." not in name:
            result[prefix + name] = tensor
    return result


def _diffusers_name(name: str) -> str:
    return name.replace("transformer.resblocks.", "text_model.encoder.layers.").replace(".attn.", ".self_attn.")
