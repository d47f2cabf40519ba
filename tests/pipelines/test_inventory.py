"""A request asks what this machine has; the files of its checkpoint are looked at once, and anew for the next one."""

from pathlib import Path

import pytest

from pipelines.engine.annotators import Annotators
from pipelines.engine.catalog import Catalog
from pipelines.engine.control_files import ControlFiles
from pipelines.engine.face_restorer_files import FaceRestorerFiles
from pipelines.engine.inventory import Inventory
from pipelines.engine.ip_adapter_files import IpAdapterFiles
from pipelines.engine.lora_files import LoraFiles
from pipelines.engine.motion_files import MotionFiles
from pipelines.engine.upscaler_files import UpscalerFiles
from presets.text_to_image import TextToImage
from tests.safetensors_files import SD1, SDXL, write_safetensors


class CountingCatalog(Catalog):
    looks = 0

    def find(self, name: str):
        self.looks += 1
        return super().find(name)


@pytest.fixture
def catalog(tmp_path: Path) -> CountingCatalog:
    write_safetensors(tmp_path / "checkpoints/photo.safetensors", SD1)
    return CountingCatalog((tmp_path,))


def settled(catalog: Catalog, root: Path, checkpoint: str) -> TextToImage:
    beside = (UpscalerFiles(catalog), FaceRestorerFiles(catalog), Annotators((root,), offline=True))
    files = (catalog, LoraFiles(catalog), ControlFiles(catalog), *beside, IpAdapterFiles(catalog), MotionFiles(catalog))
    inventory = Inventory(*files, pixel_limit=2**24, fetch=False)
    return TextToImage(prompt="a boat", checkpoint=checkpoint).settled(inventory)


def test_a_request_looks_at_its_checkpoint_once(catalog, tmp_path):
    assert settled(catalog, tmp_path, "photo").checkpoint == "photo"
    assert catalog.looks == 1


def test_the_next_request_sees_what_has_changed(catalog, tmp_path):
    assert settled(catalog, tmp_path, "PHOTO").canvas == (512, 512)
    write_safetensors(tmp_path / "checkpoints/photo.safetensors", SDXL)
    assert settled(catalog, tmp_path, "PHOTO").canvas == (1024, 1024)
