"""GGUF: files told by their headers, and transformers of diffusers folders that stay compressed."""

import struct

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, GGUFWriter, quants

from pipelines.denoise import Watch, decode, denoise
from pipelines.engine.catalog import Catalog
from pipelines.engine.conditioning import Conditioner
from pipelines.engine.errors import ModelCorrupt, ModelFamily
from pipelines.engine.manager import PipelineManager
from pipelines.engine.policy import Hardware, decide
from presets.drawing import LoraUse
from presets.errors import UserError
from presets.requests import TextToImage
from presets.settings import Settings
from tests.checkpoints import save_folder, tiny_flux
from tests.loras import dotted, layers, save_lora

REQUEST = TextToImage(prompt="a cat", steps=2, seed=3, width=64, height=64, sampler="Euler")


def text(value):
    return struct.pack("<Q", len(value)) + value.encode()


def header(entries, tensors=0):
    body = b"".join(text(key) + value for key, value in entries.items())
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, len(entries)) + body


VERSION = {"general.quantization_version": struct.pack("<II", 4, 2)}
WORDS = {"words": struct.pack("<IIQ", 9, 8, 2) + text("a") + text("b")}
NUMBERS = {"numbers": struct.pack("<IIQ", 9, 4, 2) + bytes(8)}
FLUX = {"general.architecture": struct.pack("<I", 8) + text("flux")}
CAT = {"general.architecture": struct.pack("<I", 8) + text("cat")}


def found(tmp_path, content):
    path = tmp_path / "checkpoints/small.gguf"
    path.parent.mkdir()
    path.write_bytes(content)
    return Catalog((tmp_path,), tmp_path / "none").find("small")


@pytest.mark.parametrize(
    ("entries", "what"),
    [
        ({**VERSION, **WORDS, **NUMBERS, **FLUX}, "a Flux.1 transformer"),
        (CAT, "architecture 'cat'"),
        ({}, "without a name"),
    ],
)
def test_a_file_of_its_own_is_told_what_it_is_and_where_it_belongs(tmp_path, entries, what):
    with pytest.raises(ModelFamily, match=f"{what} in GGUF: .*transformer/ of a diffusers folder"):
        found(tmp_path, header(entries))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<html>", "no GGUF"),
        (header({"general.architecture": struct.pack("<IQ", 8, 2**60)}), "header cannot be read"),
        (header({"list": struct.pack("<I", 9)}), "header cannot be read"),
        (header({"list": struct.pack("<IIQ", 9, 4, 2**62)}), "header cannot be read"),
        (header({"lists": struct.pack("<IIQ", 9, 9, 2**62) * 9}), "header cannot be read"),
        (header(FLUX, tensors=3), "header cannot be read"),
        (header(FLUX, tensors=2**40), "1,099,511,627,776 tensors"),
        (header(FLUX, tensors=1) + text("x") + struct.pack("<I", 99), "describes the tensor 'x' wrongly"),
        (header(FLUX, tensors=1) + text("x") + struct.pack("<IQIQ", 1, 8, 0, 10**6), "cut off"),
    ],
)
def test_content_that_is_none_is_corrupt(tmp_path, content, reason):
    with pytest.raises(ModelCorrupt, match=reason):
        found(tmp_path, content)


def save_gguf(transformer, path, architecture="flux"):
    """Matrices in 8 bits (Q8_0), the others in float32."""
    writer = GGUFWriter(path, architecture)
    for name, tensor in transformer.state_dict().items():
        values = tensor.float().numpy()
        if values.ndim == 2 and values.shape[1] % 32 == 0:
            kind = GGMLQuantizationType.Q8_0
            writer.add_tensor(name, quants.quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, values)
    for write in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file):
        write()
    writer.close()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    pipe = tiny_flux()
    save_folder(pipe, root / "checkpoints/whole")
    small = save_folder(pipe, root / "checkpoints/small")
    (small / "transformer/diffusion_pytorch_model.safetensors").unlink()
    save_gguf(pipe.transformer, small / "transformer/flux-Q8_0.gguf")
    return root


def manager(root):
    policy = decide(Hardware("cpu", "CPU", 2**34, 1), Settings())
    return PipelineManager(Catalog((root,), root / "none"), policy, Settings())


def drawn(models, name):
    with models.pipeline(name) as loaded:
        conditioning = Conditioner().encode(loaded.pipe, REQUEST.prompt, "")
        latents = denoise(loaded.pipe, conditioning, REQUEST, Watch(lambda _: None))
        return np.array(decode(loaded.pipe, latents, print), dtype=float)


def test_a_transformer_in_gguf_draws_nearly_the_picture_of_the_whole_one(root):
    models = manager(root)
    assert np.abs(drawn(models, "small") - drawn(models, "whole")).mean() < 2
    with models.pipeline("small") as small, models.pipeline("whole") as whole:
        sizes = [sum(tensor.nbytes for tensor in one.pipe.transformer.parameters()) for one in (small, whole)]
        assert sizes[0] < 0.7 * sizes[1]
        assert small.pipe.transformer.dtype == torch.float32
        assert small.model.parameters == whole.model.parameters


def test_loras_are_refused_on_compressed_weights_with_a_sentence(root):
    save_lora(
        root, "ink", dotted("transformer.", layers(tiny_flux().transformer), (".lora_B.weight", ".lora_A.weight"))
    )
    with (
        pytest.raises(UserError, match="its weights are compressed"),
        manager(root).pipeline("small", loras=(LoraUse(name="ink"),)),
    ):
        pass


def test_a_file_of_another_family_is_refused_in_its_folder(root):
    other = save_folder(tiny_flux(), root / "checkpoints/other")
    save_gguf(tiny_flux().transformer, other / "transformer/x.gguf", architecture="sd3")
    with pytest.raises(ModelFamily, match="folder for Flux.1: its GGUF file is for 'sd3'"):
        Catalog((root,), root / "none").find("other")


def test_a_cut_off_file_is_corrupt(root):
    torn = save_folder(tiny_flux(), root / "checkpoints/torn")
    path = torn / "transformer/x.gguf"
    save_gguf(tiny_flux().transformer, path)
    path.write_bytes(path.read_bytes()[:-64])
    with pytest.raises(ModelCorrupt, match="do not fit together|cut off"), manager(root).pipeline("torn"):
        pass
