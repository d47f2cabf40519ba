"""What this machine has, as requests ask for it (`presets/installed.py`)."""

from collections.abc import Mapping, Sequence

from pipelines.engine.annotators import Annotators
from pipelines.engine.catalog import Catalog
from pipelines.engine.control_files import ControlFiles
from pipelines.engine.errors import HubUnreachable
from pipelines.engine.face_restorer_files import FaceRestorerFiles
from pipelines.engine.families import FAMILIES
from pipelines.engine.ip_adapter_files import IpAdapterFiles
from pipelines.engine.lora_files import LoraFiles
from pipelines.engine.model import Model
from pipelines.engine.motion_files import MotionFiles
from pipelines.engine.upscaler_files import UpscalerFiles
from presets.errors import InvalidField
from presets.installed import Checkpoint
from presets.preprocess_fields import Name


class Inventory:
    """The models of `catalog`, and the files of `loras`, `controls`, `upscalers`, `face_restorers`, `annotators`,
    `ip_adapters` and `motions`; no picture may be drawn with more than `pixel_limit` pixels. Where it does not `fetch`,
    only those checkpoints of the Hub can be used that are on this machine. It is made for one request, which asks for
    its checkpoint several times: its files are looked at once."""

    def __init__(
        self,
        catalog: Catalog,
        loras: LoraFiles,
        controls: ControlFiles,
        upscalers: UpscalerFiles,
        face_restorers: FaceRestorerFiles,
        annotators: Annotators,
        ip_adapters: IpAdapterFiles,
        motions: MotionFiles,
        pixel_limit: int,
        *,
        fetch: bool,
    ):
        self._catalog = catalog
        self._loras = loras
        self._controls = controls
        self._upscalers = upscalers
        self._face_restorers = face_restorers
        self._annotators = annotators
        self._ip_adapters = ip_adapters
        self._motions = motions
        self._pixel_limit = pixel_limit
        self._fetch = fetch
        self._models: dict[str, Model] = {}

    def _model(self, name: str) -> Model:
        if name not in self._models:
            model = self._catalog.find(name)
            self._models |= {name: model, model.name: model}
        return self._models[name]

    def checkpoint(self, name: str, kind: str) -> Checkpoint:
        model = self._model(name)
        if model.path is None and not self._fetch:
            raise HubUnreachable(model.name, "this server's visitors add no models; its owner can")
        model.check_task(kind)
        return Checkpoint(model.name, model.native_size, FAMILIES[model.family].grid)

    def check_size(self, checkpoint: str, size: tuple[int, int]) -> None:
        self._model(checkpoint).check_size(*size)
        width, height = size
        if width * height > self._pixel_limit:
            raise InvalidField(
                "width",
                f"{width} x {height} is {width * height:,} pixels; this machine's limit is {self._pixel_limit:,}.",
                code="E-SIZE",
            )

    def check_soft_mask(self, checkpoint: str) -> None:
        self._model(checkpoint).check_soft_mask()

    def vae(self, name: str, checkpoint: str) -> str:
        file = self._catalog.find_vae(name)
        file.check_family(FAMILIES[self._model(checkpoint).family])
        return file.name

    def upscaler(self, name: str) -> str:
        return self._upscalers.listed(name)

    def face_restorer(self, name: str) -> str:
        return self._face_restorers.find(name).name

    def check_preprocessor(self, name: Name) -> None:
        self._annotators.check(name)

    def loras(self, names: Sequence[str], checkpoint: str) -> Mapping[str, str]:
        model = self._model(checkpoint)
        return self._loras.listed_names(names, None if model.path is None else model.family)

    def ip_adapters(self, names: Sequence[str], checkpoint: str) -> Mapping[str, str]:
        model = self._model(checkpoint)
        return {name: self._ip_adapters.find(name, model)[0].name for name in names}

    def motion_module(self, name: str, checkpoint: str, frames: int) -> str:
        file = self._motions.find(name, self._model(checkpoint))
        file.check_frames(frames)
        return file.name

    def controls(self, names: Sequence[str], checkpoint: str) -> Mapping[str, str]:
        model = self._model(checkpoint)
        return {name: self._controls.find(name, model).name for name in names}
