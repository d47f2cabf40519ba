"""A folder of models of every kind, tiny and real, and what reads each as the program does."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from pipelines import detectors
from pipelines.engine.annotators import Annotators
from pipelines.engine.catalog import Catalog
from pipelines.engine.control_files import ControlFiles
from pipelines.engine.embeddings import Embeddings
from pipelines.engine.ip_adapter_files import IpAdapterFiles
from pipelines.engine.ip_adapters import load_ip_adapter
from pipelines.engine.lora_files import LoraFiles
from pipelines.engine.manager import PipelineManager
from pipelines.engine.motion_files import MotionFiles
from pipelines.engine.policy import Hardware, decide
from pipelines.engine.upscaler_files import UpscalerFiles
from presets.drawing import LoraUse
from presets.errors import UserError
from presets.settings import Settings
from tests import annotators
from tests.checkpoints import save_folder, save_single_file, save_vae, tiny_sd1
from tests.controls import save_control, tiny_control
from tests.ip_adapters import save_encoder, save_ip_adapter, tiny_ip_adapter
from tests.loras import of_sd1, save_lora
from tests.motions import save_motion, tiny_motion
from tests.upscalers import save_upscaler, tiny_compact

ANNOTATOR = "table5_pidinet.pth"
FOLDERS = (
    "checkpoints",
    "loras",
    "vae",
    "controlnets",
    "upscalers",
    "embeddings",
    "annotators",
    "ip_adapters",
    "motion_modules",
)


def make(root: Path) -> None:
    """Write a checkpoint "tiny" to draw with, and beside the models a sound file of each folder."""
    pipe, sound = tiny_sd1(), root / "sound"
    save_folder(pipe, root / "models/checkpoints/tiny")
    save_single_file(tiny_sd1(1), _in(sound / "checkpoints"))
    save_lora(sound, "sound", of_sd1(pipe))
    save_vae(pipe.vae, _in(sound / "vae"), "first_stage_model.")
    save_control(tiny_control(pipe.unet), _in(sound / "controlnets"))
    save_upscaler(tiny_compact(), _in(sound / "upscalers"))
    save_file({"emb_params": torch.zeros(2, 64)}, _in(sound / "embeddings"))
    save_ip_adapter(tiny_ip_adapter(pipe.unet), _in(sound / "ip_adapters"))
    save_encoder(root / "models/ip_adapters/image_encoder")
    save_motion(tiny_motion(pipe.unet), _in(sound / "motion_modules"))
    torch.save(annotators.pidinet(), _in(sound / "annotators"))


def sound_file(root: Path, folder: str) -> bytes:
    return (root / "sound" / folder / "sound.safetensors").read_bytes()


def _in(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder / "sound.safetensors"


class Reader:
    """All that reads files of models under `root`: what lists them for the page, and what loads them for a job."""

    def __init__(self, root: Path):
        settings = Settings(home=root, memory_budget=2**30, threads=1, offline=True)
        self.catalog = Catalog((root / "models",), root / "none")
        policy = decide(Hardware("cpu", "CPU", 2**34, 1), settings)
        self._manager = PipelineManager(self.catalog, policy, settings)
        self._annotators = Annotators(settings.model_roots, offline=True)
        self._embeddings = Embeddings(self.catalog)
        self._ip_adapters = IpAdapterFiles(self.catalog)
        self._lists: tuple[Callable[[], Any], ...] = (
            self.catalog.list,
            self.catalog.problems,
            self.catalog.vaes,
            LoraFiles(self.catalog).list,
            ControlFiles(self.catalog).list,
            UpscalerFiles(self.catalog).names,
            self._annotators.list,
            self._ip_adapters.list,
            MotionFiles(self.catalog).list,
        )
        self._loads: Mapping[str, Callable[[str], object]] = {
            "checkpoints": self._checkpoint,
            "loras": lambda name: self._used(loras=[LoraUse(name=name)]),
            "vae": lambda name: self._used(vae=name),
            "controlnets": lambda name: self._used(controls=[name]),
            "upscalers": self._upscaler,
            "embeddings": self._embeddings.named_in,
            "annotators": self._detector,
            "ip_adapters": self._ip_adapter,
            "motion_modules": lambda name: self._used(motion=name),
        }

    def list(self) -> None:
        for every in self._lists:
            every()

    def load(self, folder: str, name: str) -> str:
        """How the file called `name` ended: "loaded", or the code of its refusal."""
        try:
            self._loads[folder](name)
        except UserError as refused:
            return refused.code
        return "loaded"

    def _used(self, **what: Any) -> None:
        with self._manager.pipeline("tiny", **what):
            pass

    def _checkpoint(self, name: str) -> None:
        self._manager.load(name)
        self._manager.unload(name)

    def _upscaler(self, name: str) -> None:
        with self._manager.upscaler(name):
            pass

    def _ip_adapter(self, name: str) -> None:
        file, _ = self._ip_adapters.find(name, self.catalog.find("tiny"))
        with self._manager.pipeline("tiny") as loaded:
            load_ip_adapter(file, loaded.pipe.unet, torch.float32)

    def _detector(self, _: str) -> None:
        paths = [path for path in self._annotators._walk() if path.name == ANNOTATOR]  # noqa: SLF001
        detectors.build(detectors.DETECTORS["softedge-pidinet"], paths)
