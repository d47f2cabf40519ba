"""Control models on disk: what they are told to be, and what they are once loaded."""

import pytest
import torch
from safetensors.torch import save_file

from pipelines.engine.catalog import STARTER, Catalog
from pipelines.engine.control_files import ControlFiles
from pipelines.engine.control_loading import load_control
from pipelines.engine.errors import ControlFamily, ControlNotFound, ControlUnusable
from tests.checkpoints import save_single_file, tiny_sd1, tiny_sd2, tiny_sdxl
from tests.controls import save_control, tiny_adapter, tiny_control, tiny_union
from tests.upscalers import save_upscaler, tiny_compact

EIGHTH = (8, 16, 16, 16)
"""Channels that read a control picture as the original layout does: at an eighth of its side."""


@pytest.fixture(scope="module")
def pipes():
    return {"sd1": tiny_sd1(), "sd2": tiny_sd2(), "sdxl": tiny_sdxl()}


@pytest.fixture(scope="module")
def models(pipes, tmp_path_factory):
    """A root of models with a checkpoint and control models of each family."""
    root = tmp_path_factory.mktemp("models")
    for family, pipe in pipes.items():
        save_single_file(pipe, root / "checkpoints" / f"{family}.safetensors")
        folder, unet = root / "controlnets", pipe.unet
        save_control(tiny_control(unet), folder / f"{family}-plain.safetensors")
        tiny_control(unet).save_pretrained(folder / f"{family}-folder")
        if family != "sdxl":
            save_control(tiny_control(unet, embedding=EIGHTH), folder / f"{family}-old.safetensors", "control_model.")
            save_control(tiny_control(unet, embedding=EIGHTH), folder / f"{family}-bare.safetensors", "")
    save_control(tiny_union(pipes["sdxl"].unet), root / "controlnets" / "union.safetensors")
    for name, prefix in (("adapter", None), ("adapter-old", "")):
        save_control(tiny_adapter(pipes["sd1"].unet), root / "controlnets" / f"{name}.safetensors", prefix)
    xl = tiny_adapter(pipes["sdxl"].unet, "full_adapter_xl", 16)
    save_control(xl, root / "controlnets" / "adapter-xl.safetensors")
    light = tiny_adapter(pipes["sd1"].unet, "light_adapter")
    save_control(light, root / "controlnets" / "adapter-light.safetensors")
    return root


@pytest.fixture(scope="module")
def catalog(models):
    return Catalog((models,))


def found(catalog, name, family):
    return ControlFiles(catalog).find(name, catalog.find(family))


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_controlnets_of_every_layout_are_of_their_family(catalog, family):
    infos = {info.name: info for info in ControlFiles(catalog).list() if info.name.startswith(f"{family}-")}
    assert {info.kind for info in infos.values()} == {"ControlNet"}
    assert len(infos) == (2 if family == "sdxl" else 4)
    titles = {"sd1": "Stable Diffusion 1.x", "sd2": "Stable Diffusion 2.x", "sdxl": "Stable Diffusion XL"}
    assert {info.family for info in infos.values()} == {titles[family]}


@pytest.mark.parametrize(
    ("name", "kind", "family"),
    [
        ("union", "ControlNet union", "sdxl"),
        ("adapter", "T2I-Adapter", "sd1"),
        ("adapter-old", "T2I-Adapter", "sd1"),
        ("adapter-light", "T2I-Adapter", "sd1"),
        ("adapter-xl", "T2I-Adapter", "sdxl"),
    ],
)
def test_unions_and_adapters_are_told_apart(catalog, name, kind, family):
    assert (found(catalog, name, family).kind, found(catalog, name, family).family) == (kind, family)


@pytest.mark.parametrize(
    ("family", "layout"),
    [(family, layout) for family in ("sd1", "sd2") for layout in ("plain", "folder", "old", "bare")]
    + [("sdxl", "plain"), ("sdxl", "folder")],
)
def test_what_is_loaded_is_the_control_model_that_was_saved(catalog, pipes, family, layout):
    unet = pipes[family].unet
    saved = tiny_control(unet, **({"embedding": EIGHTH} if layout in ("old", "bare") else {}))
    loaded = load_control(found(catalog, f"{family}-{layout}", family), unet, torch.float16)
    assert_same(loaded, saved)


@pytest.mark.parametrize("name", ["adapter", "adapter-old", "adapter-light"])
def test_adapters_are_loaded_from_either_layout(catalog, pipes, name):
    unet = pipes["sd1"].unet
    saved = tiny_adapter(unet, "light_adapter" if name == "adapter-light" else "full_adapter")
    assert_same(load_control(found(catalog, name, "sd1"), unet, torch.float16), saved)


def test_unions_and_adapters_for_sdxl_are_loaded(catalog, pipes):
    unet = pipes["sdxl"].unet
    assert_same(load_control(found(catalog, "union", "sdxl"), unet, torch.float16), tiny_union(unet))
    saved = tiny_adapter(unet, "full_adapter_xl", 16)
    assert_same(load_control(found(catalog, "adapter-xl", "sdxl"), unet, torch.float16), saved)


def assert_same(loaded, saved):
    """The same numbers under the same names, and the same answers where it depends on the config."""
    mine, theirs = loaded.state_dict(), saved.state_dict()
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)
    important = set(saved.config) - {"_name_or_path", "_use_default_values", "_class_name", "_diffusers_version"}
    assert {name: plain(loaded.config[name]) for name in important} == {
        name: plain(saved.config[name]) for name in important
    }


def plain(value):
    """One number for all levels says the same as that number for each."""
    values = list(value) if isinstance(value, tuple | list) else [value]
    return values[0] if len(set(map(str, values))) == 1 else values


def test_an_unknown_name_gets_the_nearest_three(catalog):
    with pytest.raises(ControlNotFound, match="No control model is called 'sd1-plane'. The nearest: sd1-plain"):
        found(catalog, "sd1-plane", "sd1")


def test_without_a_name_the_first_that_fits_is_meant(catalog):
    assert found(catalog, "", "sd2").name == "sd2-bare"
    assert found(catalog, "SDXL-Folder", "sdxl").name == "sdxl-folder"


def test_another_family_is_refused_and_both_are_named(catalog):
    with pytest.raises(ControlFamily) as refused:
        found(catalog, "sdxl-plain", "sd1")
    assert refused.value.code == "E-CONTROL-FAMILY"
    assert refused.value.message == (
        "'sdxl-plain' is a ControlNet for Stable Diffusion XL, and the checkpoint sd1 is of Stable Diffusion 1.x."
    )


def test_a_control_model_for_a_smaller_unet_is_refused(catalog):
    starter = Catalog((), STARTER).find("")
    with pytest.raises(ControlFamily, match="made for models of 32 channels, and the checkpoint storybook has 64"):
        ControlFiles(catalog).find("sd1-plain", starter)


ADAPTER = {"body.1.block1.weight": torch.zeros(4, 4, 1, 1)}
ORIGINAL = {"input_hint_block.0.weight": torch.zeros(4), "zero_convs.0.0.weight": torch.zeros(4)}
LORA = {"lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight": torch.zeros(4, 4)}


@pytest.mark.parametrize(
    ("tensors", "told"),
    [
        (LORA, "it is a LoRA; move it to the loras folder"),
        ({"lllite_unet_down.weight": torch.zeros(2)}, "it is a ControlNet-LLLite; this version follows"),
        ({"controlnet_x_embedder.weight": torch.zeros(2)}, "it is a ControlNet for a transformer"),
        ({"decoder.conv_in.weight": torch.zeros(2)}, "it is a VAE; move it to the vae folder"),
        (tiny_compact().state_dict(), "it is an upscaler; move it to the upscalers folder"),
        (ADAPTER | {"body.0.in_conv.weight": torch.zeros(4, 7, 1, 1)}, "its parts do not fit together"),
        (ADAPTER | {"body.0.in_conv.weight": torch.zeros(4)}, "its parts do not fit together"),
        (ORIGINAL | {"input_blocks.0.0.weight": torch.zeros(())}, "its parts do not fit together"),
        (ORIGINAL | {"middle_block.1.attn2.to_k.weight": torch.zeros(())}, "its parts do not fit together"),
    ],
)
def test_what_is_no_control_model_is_told(tmp_path, tensors, told):
    (tmp_path / "controlnets").mkdir()
    save_file(tensors, tmp_path / "controlnets" / "wrong.safetensors")
    catalog = Catalog((tmp_path,))
    (info,) = ControlFiles(catalog).list()
    assert told in info.problem
    with pytest.raises(ControlUnusable, match="The control model 'wrong' cannot be used"):
        ControlFiles(catalog).find("wrong", catalog.find(""))


def test_a_file_that_is_none_leaves_the_others_usable(models):
    wrong = save_upscaler(tiny_compact(), models / "controlnets" / "a-wrong-one.safetensors")
    try:
        catalog = Catalog((models,))
        problems = {info.name: info.problem for info in ControlFiles(catalog).list()}
        assert [name for name, problem in problems.items() if problem] == ["a-wrong-one"]
        assert found(catalog, "", "sd1").kind == "T2I-Adapter"
    finally:
        wrong.unlink()


def test_a_checkpoint_among_the_control_models_is_told(tmp_path, pipes):
    save_single_file(pipes["sd1"], tmp_path / "controlnets" / "whole.safetensors")
    (info,) = ControlFiles(Catalog((tmp_path,))).list()
    assert "it is a checkpoint; move it to the checkpoints folder" in info.problem


@pytest.mark.parametrize("content", [b"", b"<html>", b"\0" * 64])
def test_broken_files_are_told(tmp_path, content):
    (tmp_path / "controlnets").mkdir()
    (tmp_path / "controlnets" / "broken.safetensors").write_bytes(content)
    (info,) = ControlFiles(Catalog((tmp_path,))).list()
    assert info.problem.startswith("The control model 'broken' cannot be used: it is")


def test_a_folders_half_and_whole_weights_are_one_model(tmp_path, pipes):
    control = tiny_control(pipes["sd1"].unet)
    folder = tmp_path / "controlnets" / "lines"
    control.save_pretrained(folder)
    control.save_pretrained(folder, variant="fp16")
    (info,) = ControlFiles(Catalog((tmp_path,))).list()
    assert (info.name, info.problem) == ("lines", "")
