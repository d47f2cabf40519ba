import json
import os

import pytest

from pipelines.engine.catalog import Catalog
from pipelines.engine.errors import LoraFamily, LoraNotFound, LoraUnusable
from pipelines.engine.lora_files import MOST_COMPONENTS, LoraFiles, peft_configs
from pipelines.engine.lora_keys import Layer, grouped
from tests.safetensors_files import write_header, write_safetensors

TO_K = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"
KOHYA = f"lora_unet_{TO_K.replace('.', '_')}"


def lora(width=768, rank=4, end="lora_down.weight", other="lora_up.weight"):
    return {f"{KOHYA}.{end}": (rank, width), f"{KOHYA}.{other}": (320, rank)}


def write_with_metadata(path, metadata):
    entries = {"__metadata__": metadata}
    for index, (name, shape) in enumerate(lora().items()):
        size = 2 * shape[0] * shape[1]
        start = 0 if index == 0 else 2 * 4 * 768
        entries[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [start, start + size]}
    return write_header(path, json.dumps(entries).encode(), 2 * 4 * 768 + 2 * 320 * 4)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "loras"


@pytest.fixture
def files(tmp_path):
    return LoraFiles(Catalog((tmp_path,)))


@pytest.mark.parametrize(
    "name",
    [
        f"{KOHYA}.lora_down.weight",
        f"{KOHYA}.hada_w1_b",
        f"unet.{TO_K}.lora_A.weight",
        f"unet.{TO_K}.lora_A.default.weight",
        f"unet.{TO_K}.lora.down.weight",
        f"unet.{TO_K.replace('attn2.to_k', 'attn2.processor.to_k')}_lora.down.weight",
        f"base_model.model.{TO_K}.lora_A.weight",
        f"unet.base_model.model.{TO_K}.lora_A.weight",
        f"diffusion_model.{TO_K}.lora_up.weight",
        f"{TO_K}.lora_magnitude_vector.default.weight",
    ],
)
def test_every_spelling_of_a_layer_means_the_same(name):
    layers, others = grouped([name])
    assert (list(layers), others) == ([Layer("unet", TO_K.replace(".", "_"))], ())


@pytest.mark.parametrize(
    ("name", "component"),
    [
        ("lora_te_text_model_encoder_layers_0_self_attn_q_proj.alpha", "text_encoder"),
        ("lora_te1_text_model_encoder_layers_0_self_attn_q_proj.alpha", "text_encoder"),
        ("lora_te2_text_model_encoder_layers_0_self_attn_q_proj.alpha", "text_encoder_2"),
        ("text_encoder.text_model.encoder.layers.0.self_attn.q_proj.lora_linear_layer.up.weight", "text_encoder"),
        ("text_encoder.text_model.encoder.layers.0.self_attn.to_q_lora.up.weight", "text_encoder"),
        ("text_encoder_2.encoder.layers.0.self_attn.q_proj.lora_B.weight", "text_encoder_2"),
        ("text_model.encoder.layers.0.self_attn.q_proj.lora_B.weight", "text_encoder"),
    ],
)
def test_layers_of_text_encoders_are_told_apart(name, component):
    assert list(grouped([name])[0]) == [Layer(component, "encoder_layers_0_self_attn_q_proj")]


@pytest.mark.parametrize(
    ("tensors", "kind", "rank"),
    [
        (lora(), "LoRA", 4),
        (lora() | {f"{KOHYA}.dora_scale": (320, 1)}, "DoRA", 4),
        ({"lora_unet_x.lora_down.weight": (8, 4, 3, 3), "lora_unet_x.lora_up.weight": (4, 8, 1, 1)}, "LoCon", 8),
        ({f"x.hada_w{n}_{letter}": (2, 4) for n in (1, 2) for letter in "ab"}, "LoHa", 2),
        ({"x.lokr_w1": (2, 2), "x.lokr_w2": (160, 384)}, "LoKr", None),
        ({"x.lokr_w1": (2, 2), "x.lokr_w2_a": (160, 3), "x.lokr_w2_b": (3, 384)}, "LoKr", 3),
        ({"x.diff": (2, 2)}, "weights", None),
    ],
)
def test_kind_and_rank_are_told_by_the_header(folder, files, tensors, kind, rank):
    write_safetensors(folder / "ink.safetensors", tensors)
    info = files.find("ink").info()
    assert (info.kind, info.rank) == (kind, rank)


@pytest.mark.parametrize(
    ("tensors", "family"),
    [
        (lora(768), "Stable Diffusion 1.x"),
        (lora(2048), "Stable Diffusion XL"),
        (lora(2048, end="lora_A.weight", other="lora_B.weight"), "Stable Diffusion XL"),
        ({f"{KOHYA}.lokr_w1": (4, 16), f"{KOHYA}.lokr_w2": (80, 128)}, "Stable Diffusion XL"),
        ({"lora_te1_x.diff": (2, 2), "lora_te2_x.diff": (2, 2)}, "Stable Diffusion XL"),
        (lora(64), ""),
    ],
)
def test_the_family_is_told_by_the_width_of_the_text(folder, files, tensors, family):
    write_safetensors(folder / "ink.safetensors", tensors)
    assert files.find("ink").info().family == family


def test_a_lora_for_another_family_is_refused_by_name(folder, files):
    write_safetensors(folder / "style/Ink.safetensors", lora(2048))
    assert files.listed_names(["ink"], "sdxl") == {"ink": "style/Ink"}
    assert files.listed_names(["INK"], None) == {"INK": "style/Ink"}
    with pytest.raises(LoraFamily, match="Stable Diffusion XL, and the checkpoint is of Stable Diffusion 1.x"):
        files.listed_names(["ink"], "sd1")


def test_words_and_base_model_come_from_the_metadata(folder, files):
    tags = {"10_ink": {"ink style": 20, "a cat": 3}, "5_more": {"ink style": 5, "drawing": 14}}
    metadata = {"ss_tag_frequency": json.dumps(tags), "ss_sd_model_name": "C:\\models\\v1-5.safetensors"}
    write_with_metadata(folder / "ink.safetensors", metadata)
    info = files.find("ink").info()
    assert (info.trigger_words, info.base_model) == (("ink style", "drawing"), "v1-5.safetensors")


def test_the_hashes_that_a_trainer_noted_are_told_and_nothing_else_for_one(folder, files):
    metadata = {"sshs_model_hash": "AB" * 32, "modelspec.hash_sha256": "0x" + "cd" * 32}
    write_with_metadata(folder / "ink.safetensors", metadata)
    assert files.find("ink").info().hashes == ("ab" * 32, "cd" * 32)
    write_with_metadata(folder / "wool.safetensors", {"sshs_model_hash": "<b>no hash</b>"})
    assert files.find("wool").info().hashes == ()


def test_the_phrase_that_the_author_names_comes_first(folder, files):
    metadata = {"modelspec.trigger_phrase": "inkified,  by \x1b[31mme", "ss_tag_frequency": '{"a": {"cat": 1}}'}
    write_with_metadata(folder / "ink.safetensors", metadata)
    assert files.find("ink").trigger_words == ("inkified", "by [31mme")


@pytest.mark.parametrize(
    "metadata",
    [
        {"ss_tag_frequency": "[" * 100_000},
        {"ss_tag_frequency": '{"a": {"b": 1e999, "c": "x", "d": null}, "e": 5}'},
        {"ss_tag_frequency": 5, "ss_sd_model_name": ["x"]},
        {"modelspec.trigger_phrase": "x" * (2**21 + 1)},
        {"ss_tag_frequency": json.dumps({"a": {"x" * 10_000: 3}})},
        {"lora_adapter_metadata": '{"unet.lora_alpha": "x"}'},
    ],
)
def test_hostile_metadata_does_no_harm(folder, files, metadata):
    write_with_metadata(folder / "ink.safetensors", metadata)
    info = files.find("ink").info()
    assert all(len(word) <= 80 for word in info.trigger_words) and info.base_model == ""


def test_the_picture_beside_the_file_is_its_preview(folder, files):
    write_safetensors(folder / "a.ink.safetensors", lora())
    assert files.find("a.ink").info().preview is None
    (folder / "a.ink.preview.png").write_bytes(b"x")
    assert files.find("a.ink").info().preview == folder / "a.ink.preview.png"
    (folder / "a.ink.preview.png").unlink()
    (folder / "a.ink.png").symlink_to("/etc/passwd")
    assert files.find("a.ink").info().preview is None


@pytest.mark.parametrize(
    ("content", "code", "reason"),
    [
        (b"", "E-MODEL-CORRUPT", "it is empty"),
        (b"<html>", "E-MODEL-CORRUPT", "web page"),
        (b"version https://git-lfs", "E-MODEL-CORRUPT", "Git LFS"),
        (None, "E-LORA-FAMILY", "no weights of a LoRA"),
    ],
)
def test_files_that_are_no_loras_are_listed_with_the_reason(folder, files, content, code, reason):
    path = write_safetensors(folder / "ink.safetensors", {"model.diffusion_model.out.2.weight": (4, 4)})
    if content is not None:
        path.write_bytes(content)
    assert reason in files.list()[0].problem
    with pytest.raises((LoraFamily, LoraUnusable), match=reason) as caught:
        files.find("ink")
    assert (caught.value.code, caught.value.field) == (code, "loras")


def test_pickled_files_are_not_opened_and_links_do_not_lead_out(folder, files, tmp_path_factory):
    folder.mkdir()
    (folder / "old.pt").write_bytes(b"x")
    outside = write_safetensors(tmp_path_factory.mktemp("outside") / "x.safetensors", lora())
    (folder / "link.safetensors").symlink_to(outside)
    for name, code in (("old", "E-MODEL-UNSAFE"), ("link", "E-MODEL-PATH")):
        with pytest.raises(LoraUnusable) as caught:
            files.find(name)
        assert caught.value.code == code


def test_a_name_is_only_looked_up(folder, files):
    write_safetensors(folder.parent / "ink.safetensors", lora())
    write_safetensors(folder / "pixel-art.safetensors", lora())
    for name in ("../ink", "ink", "/etc/passwd", ""):
        with pytest.raises(LoraNotFound):
            files.find(name)
    with pytest.raises(LoraNotFound, match="The nearest: pixel-art"):
        files.find("pixelart")


def test_a_file_that_changes_is_read_anew_and_one_that_goes_is_gone(folder, files):
    path = write_safetensors(folder / "ink.safetensors", lora(rank=4))
    assert [info.rank for info in files.list()] == [4]
    write_safetensors(path, lora(rank=8))
    os.utime(path, (1, 1))
    assert [info.rank for info in files.list()] == [8]
    path.unlink()
    assert files.list() == ()


def test_of_very_many_components_only_the_first_have_an_alpha(tmp_path):
    alphas = {f"part{number}.lora_alpha": 4 for number in range(50_000)}
    configs = peft_configs(tmp_path / "a.safetensors", {"lora_adapter_metadata": json.dumps(alphas)})
    assert list(configs) == [f"part{number}" for number in range(MOST_COMPONENTS)]


def test_the_first_pattern_that_ends_a_layers_path_counts(tmp_path):
    notes = {"unet.lora_alpha": 4, "unet.alpha_pattern": {"to_q": 8, "attn1.to_q": 16, "attn2.to_k": 32}}
    (config,) = peft_configs(tmp_path / "a.safetensors", {"lora_adapter_metadata": json.dumps(notes)}).values()
    assert [config.scale(path, 4) for path in ("mid_attn1_to_q", "attn2_to_k", "to_v", "into_q")] == [2, 8, 1, 1]
