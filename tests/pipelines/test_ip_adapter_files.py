"""IP-Adapters and their image encoders told by header, and what is said of those that cannot be used."""

from pathlib import Path

import pytest

from pipelines.engine.catalog import STARTER, Catalog
from pipelines.engine.errors import (
    ImageEncoderMissing,
    IpAdapterFamily,
    IpAdapterNotFound,
    IpAdapterUnusable,
    NoIpAdapter,
)
from pipelines.engine.ip_adapter_files import IpAdapterFiles
from tests.checkpoints import save_folder, tiny_flux, tiny_sd2
from tests.ip_adapters import PROJECTED, WIDTH, save_encoder, save_ip_adapter, tiny_ip_adapter
from tests.safetensors_files import write_safetensors


@pytest.fixture
def adapter(starter_pipe):
    return tiny_ip_adapter(starter_pipe.unet)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "ip_adapters"


def files(root: Path) -> IpAdapterFiles:
    return IpAdapterFiles(Catalog((root.parent,), STARTER))


def found(root: Path, name: str, checkpoint: str = ""):
    catalog = Catalog((root.parent,), STARTER)
    return IpAdapterFiles(catalog).find(name, catalog.find(checkpoint))


def test_each_kind_is_told_and_reads_by_the_encoder_that_it_understands(root, starter_pipe):
    save_encoder(root / "a" / "image_encoder", projected=PROJECTED + 8)
    save_encoder(root / "models" / "image_encoder")
    for kind in ("plain", "plus", "full"):
        save_ip_adapter(tiny_ip_adapter(starter_pipe.unet, kind), root / "models" / f"{kind}.safetensors")
    told = {info.name: info.kind for info in files(root).list() if not info.problem}
    assert told == {
        "a/image_encoder/model": "image encoder",
        "models/full": "IP-Adapter Full Face",
        "models/image_encoder/model": "image encoder",
        "models/plain": "IP-Adapter",
        "models/plus": "IP-Adapter Plus",
    }
    plain, plus = found(root, "plain"), found(root, "PLUS")
    assert (plain[0].reads, plain[0].reads_squares, plain[1].name) == (PROJECTED, False, "models/image_encoder/model")
    assert (plus[0].reads, plus[0].reads_squares) == (WIDTH, True)
    assert plus[1].name == "models/image_encoder/model"  # both would do; this one lies beside it


@pytest.mark.parametrize(("width", "family"), [(768, "Stable Diffusion 1.x"), (2048, "Stable Diffusion XL"), (64, "")])
def test_the_family_is_told_by_the_width_of_the_words(root, width, family):
    root.mkdir()
    shapes = {"image_proj.proj.weight": (4 * width, 8), "ip_adapter.1.to_k_ip.weight": (8, width)}
    write_safetensors(root / "x.safetensors", shapes)
    (info,) = files(root).list()
    assert info.family == family


def test_one_for_another_family_is_refused_before_the_run(root, adapter):
    save_folder(tiny_sd2(), root.parent / "checkpoints" / "other")
    save_encoder(root / "image_encoder")
    save_ip_adapter(adapter, root / "style.safetensors")
    with pytest.raises(IpAdapterFamily, match="'style' .* and the checkpoint other is of Stable Diffusion 2.x"):
        found(root, "style", "other")
    with pytest.raises(NoIpAdapter, match="No IP-Adapter here is for 'other': put one into models/ip_adapters"):
        found(root, "", "other")
    assert found(root, "")[0].name == "style"


def test_a_checkpoint_without_a_unet_has_none(root):
    save_folder(tiny_flux(), root.parent / "checkpoints" / "flux")
    with pytest.raises(IpAdapterFamily, match="cannot be used: flux is of Flux"):
        found(root, "", "flux")


def test_without_its_encoder_what_is_missing_is_said_plainly(root, adapter):
    save_ip_adapter(adapter, root / "style.safetensors")
    save_encoder(root / "image_encoder", projected=PROJECTED + 8)
    with pytest.raises(
        ImageEncoderMissing, match=f"'style' reads .* encoder of {PROJECTED} numbers, which is not here"
    ):
        found(root, "style")
    (info,) = [info for info in files(root).list() if info.name == "style"]
    assert "put the folder image_encoder that belongs to it" in info.problem


def test_a_name_that_is_not_there_names_the_nearest(root, adapter):
    save_ip_adapter(adapter, root / "style.safetensors")
    with pytest.raises(IpAdapterNotFound, match="No IP-Adapter is called 'stile'. The nearest: style."):
        found(root, "stile")


@pytest.mark.parametrize(
    ("shapes", "reason"),
    [
        ({"image_proj.perceiver_resampler.proj_in.weight": (8, 8), "ip_adapter.1.to_k_ip.weight": (8, 8)}, "FaceID"),
        ({"image_proj.proj.weight": (31, 8), "ip_adapter.1.to_k_ip.weight": (8, 8)}, "do not fit together"),
        ({"image_proj.proj.weight": (32, 8), "ip_adapter.x.to_k_ip.weight": (8, 8)}, "do not fit together"),
        ({"image_proj.latents": (1, 4, 9000), "ip_adapter.1.to_k_ip.weight": (8, 8)}, "do not fit together"),
        ({"lora_unet_x.lora_down.weight": (4, 8)}, "it is a LoRA"),
        ({"image_proj.proj.weight": (32, 8)}, "of a kind that Easel does not know"),
    ],
)
def test_what_is_none_that_can_be_used_says_why(root, shapes, reason):
    root.mkdir()
    write_safetensors(root / "x.safetensors", shapes)
    with pytest.raises(IpAdapterUnusable, match=reason):
        found(root, "x")


def test_an_ip_adapter_among_the_checkpoints_is_told_where_it_belongs(root, adapter):
    save_ip_adapter(adapter, root.parent / "checkpoints" / "style.safetensors")
    (problem,) = Catalog((root.parent,), STARTER).problems()
    assert "is an IP-Adapter: move it to the ip_adapters folder" in problem.sentence
