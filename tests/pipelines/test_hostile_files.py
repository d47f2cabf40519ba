"""Files that mean harm, listed: refused with a sentence, and nothing in them runs. All kinds of them, and loading them,
are in `tests/soak/hostile_files.py`."""

import pytest

from pipelines.engine.catalog import Catalog
from pipelines.engine.control_files import ControlFiles
from pipelines.engine.face_restorer_files import FaceRestorerFiles
from pipelines.engine.headers import BrokenFile, read_header
from pipelines.engine.ip_adapter_files import IpAdapterFiles
from pipelines.engine.lora_files import LoraFiles
from pipelines.engine.motion_files import MotionFiles
from pipelines.engine.pickles import UnsafeFile, read_pickled
from pipelines.engine.upscaler_files import UpscalerFiles
from presets.upscale_fields import RESAMPLERS
from tests.mutations import mutated, safetensors
from tests.payloads import FORMATS, payload_files, programs, zip_bombs

SOUND = {
    "checkpoint": {"model.diffusion_model.input_blocks.0.0.weight": (8, 4, 3, 3), "first_stage_model.x": (4,)},
    "LoRA": {"lora_unet_x.lora_down.weight": (4, 8), "lora_unet_x.lora_up.weight": (8, 4)},
    "IP-Adapter": {"image_proj.proj.weight": (32, 8), "ip_adapter.1.to_k_ip.weight": (8, 8)},
    "embedding": {"emb_params": (2, 8)},
}
FOLDERS = (
    "checkpoints", "loras", "vae", "controlnets", "upscalers", "ip_adapters", "face_restorers", "motion_modules",
)  # fmt: skip


@pytest.fixture
def canary(tmp_path):
    """Where whatever runs would leave a file."""
    (tmp_path / "canary").mkdir()
    return tmp_path / "canary"


@pytest.mark.parametrize("form", FORMATS)
def test_no_program_runs_and_none_gives_a_table(tmp_path, canary, form):
    for name, program in programs(canary).items():
        path = tmp_path / f"{name}.ckpt"
        path.write_bytes(FORMATS[form](program))
        with pytest.raises((UnsafeFile, BrokenFile), match="."):
            assert not read_pickled(path).places
            raise BrokenFile("it holds no tensors")
    assert list(canary.iterdir()) == []


@pytest.mark.parametrize("name", [name for name in zip_bombs() if name != "long-names"])
def test_no_bomb_unfolds(tmp_path, name):
    path = tmp_path / "bomb.ckpt"
    path.write_bytes(zip_bombs()[name]())
    with pytest.raises((UnsafeFile, BrokenFile), match="."):
        read_pickled(path)


def test_a_folder_of_nothing_but_harm_is_listed(tmp_path, canary):
    for number, (name, content) in enumerate(payload_files(canary)):
        path = tmp_path / FOLDERS[number % len(FOLDERS)] / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    catalog = Catalog((tmp_path,), tmp_path / "none")
    assert catalog.list() == () and catalog.vaes() == ()
    assert len(catalog.problems()) == 1 + len(list((tmp_path / "checkpoints").iterdir()))
    assert all(info.problem for info in (*LoraFiles(catalog).list(), *ControlFiles(catalog).list()))
    for files in (IpAdapterFiles(catalog), MotionFiles(catalog)):
        assert files.list() and all(info.problem for info in files.list())
    assert UpscalerFiles(catalog).names() == RESAMPLERS and FaceRestorerFiles(catalog).names() == ()
    assert list(canary.iterdir()) == []


@pytest.mark.parametrize("shapes", SOUND.values(), ids=SOUND)
def test_whatever_is_changed_in_a_file_it_is_read_or_refused(tmp_path, shapes):
    path = tmp_path / "x.safetensors"
    for seed in range(50):
        path.write_bytes(mutated(safetensors(shapes), seed))
        try:
            assert read_header(path).count() >= 0
        except BrokenFile as refused:
            assert str(refused)
