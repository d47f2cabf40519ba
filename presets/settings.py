"""Settings: where things lie and what the machine should be used for. A file < environment (EASEL_*) < arguments."""

import json
import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from presets.errors import UserError, shortened

SETTINGS_FILE = "settings.json"
_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")
SECRETS = frozenset({"auth", "ssl_keyfile_password"})
"""Settings whose values are shown nowhere."""


def _folders(value: Any) -> Any:
    """In the environment folders are written one after the other, as in PATH."""
    return tuple(filter(None, value.split(os.pathsep))) if isinstance(value, str) else value


def _names(value: Any) -> Any:
    """In the environment names are written with commas between them."""
    return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value


def _lines(value: Any) -> Any:
    """In the environment passwords, which may hold any sign, are written with line ends between them."""
    return tuple(filter(None, value.splitlines())) if isinstance(value, str) else value


def _expanded(path: Path) -> Path:
    """`path` with a `~` at its beginning replaced. Raises `ValueError` for one of a user who is not known."""
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError("there is no user of that name") from None


def _path_under_a_host(path: str) -> str:
    if not _PATH.fullmatch(path):
        raise PydanticCustomError("root_path", "it is written as /easel, with a slash before and none behind")
    return path


def is_on_zero_gpu() -> bool:
    """Whether this is a ZeroGPU Space, as such a one says in its environment."""
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")


RootPath = Annotated[str, AfterValidator(_path_under_a_host)]
Folder = Annotated[Path, AfterValidator(_expanded)]


WeightStorage = Literal["full", "float8", "int8", "nf4"]


class SettingRefused(UserError):
    """A setting that no value of its type alone makes wrong."""

    code = "E-SETTINGS"


class Settings(BaseSettings):
    """Every setting; each can stand in EASEL_<NAME>, as an argument, and but for `home` in the home's settings.json."""

    model_config = SettingsConfigDict(env_prefix="EASEL_", extra="ignore", frozen=True)

    home: Folder = Field(default=Path("~/Easel"), description="Folder of models, pictures and settings.")
    models_dir: Annotated[tuple[Folder, ...], NoDecode, BeforeValidator(_folders)] = Field(
        default=(), description="More folders to look for models in."
    )
    host: str | None = Field(
        default=None, description="Address to listen on, 0.0.0.0 for all; else GRADIO_SERVER_NAME or 127.0.0.1."
    )
    port: int | None = Field(default=None, ge=0, le=65535, description="Port of the page; 7860 or the next free one.")
    trusted_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)] = Field(
        default=(), description="More names under which the page is reached, as behind a proxy."
    )
    root_path: RootPath | None = Field(
        default=None,
        description="Path under which a reverse proxy serves the page, such as /easel; else GRADIO_ROOT_PATH or none.",
    )
    auth: Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_lines)] = Field(
        default=(), description="Who may come in, as name:password; all may, if nobody is named here or in auth_file."
    )
    auth_file: Folder | None = Field(
        default=None, description="A file of such lines, so that no password stands on the command line."
    )
    sign_in: Literal["off", "hub"] = Field(
        default="off",
        description="Let a Space's visitors sign in with their Hugging Face account, so that their jobs are theirs on "
        "every device.",
    )
    ssl_certfile: Folder | None = Field(default=None, description="Certificate (PEM): the page is served over HTTPS.")
    ssl_keyfile: Folder | None = Field(default=None, description="Its private key, where it is in another file.")
    ssl_keyfile_password: SecretStr | None = Field(default=None, description="Password of that key.")
    share: bool = Field(default=False, description="Open a public link through Gradio's servers.")
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="Device that draws.")
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = Field(
        default="auto", description="Precision of the weights; auto takes what the device is good at."
    )
    weight_storage: WeightStorage = Field(
        default="full",
        description="Keep the weights of the UNet or transformer as they are computed with, or in fewer bits: less "
        "memory, slower steps, and pictures that differ in detail. float8 for all layers; int8 (by torchao) and nf4, "
        "4 bits (by bitsandbytes), for linear layers, where these packages are installed.",
    )
    attention: Literal["auto", "xformers", "sdpa", "sliced"] = Field(
        default="auto",
        description="Attention kernel; auto takes xformers on CUDA where it runs, else PyTorch's. Sliced computes one "
        "head after the other: slower, for cards without a memory-saving kernel.",
    )
    offload: Literal["auto", "none", "model", "group", "sequential"] = Field(
        default="auto",
        description="What of a checkpoint waits in main memory while it is not used: nothing, components, blocks or "
        "layers, each slower than the one before; auto goes by what fits the GPU.",
    )
    vae_tiling: Literal["auto", "always"] = Field(
        default="auto",
        description="Decode pictures in tiles, whose seams are blended: where memory demands it, or always.",
    )
    compile: bool = Field(
        default=False,
        description="Compile the model's repeated blocks: the first picture of a checkpoint, and the first of another "
        "size, wait for a minute or more; later ones take less time, on a GPU more so than on a CPU.",
    )
    threads: int | None = Field(default=None, ge=1, description="CPU threads of the worker; all cores if unset.")
    memory_budget: int | None = Field(
        default=None, ge=0, description="Bytes of weights kept loaded on the device; half of its memory if unset."
    )
    ram_budget: int | None = Field(
        default=None, ge=0, description="Bytes of weights kept in main memory beside a GPU; half of it if unset."
    )
    queue_limit: int = Field(default=1000, ge=1, description="Jobs that may wait; more are refused.")
    batch_limit: int = Field(
        default=4, ge=1, le=16, description="Waiting jobs drawn at once where that was measured to pay; 1: never."
    )
    user_limit: int = Field(default=200, ge=1, description="Jobs of one user that may wait; more are refused.")
    work_limit: float | None = Field(
        default=None,
        gt=0,
        description="Megapixel-steps (pixels x steps / 1,000,000) that one user may have drawn in an hour; more are "
        "refused. Unlimited if unset.",
    )
    left_jobs: Literal["finish", "cancel"] = Field(
        default="finish", description="What becomes of a running job whose page was closed."
    )
    patience: float = Field(
        default=60.0, ge=0, description="Seconds that a waiting job stays once its page was closed, unless it is kept."
    )
    shutdown_grace: float = Field(
        default=10.0,
        ge=0,
        le=3600,
        description="Seconds that a running job has to come to its end once the program is told to stop; a longer one "
        "goes on at the next start.",
    )
    pixel_limit: int = Field(default=2048 * 2048, ge=64 * 64, description="Pixels of one picture at most.")
    preview_interval: float = Field(
        default=0.25, ge=0, description="Seconds between previews while a picture is made; 0 for none."
    )
    safety_checker: bool = Field(
        default=False,
        description="Withhold pictures to which Stable Diffusion's safety checker objects, whose weights "
        "(config.json, model.safetensors) lie in models/safety_checker; no previews then.",
    )
    mcp: bool = Field(
        default=False,
        description="Offer every kind of request as a tool at /mcp, to assistants that speak the Model Context "
        "Protocol; needs pip install 'easel[mcp]'.",
    )
    manage_models: bool = Field(
        default_factory=lambda: "SPACE_ID" not in os.environ,
        description="Let visitors of the page load and unload models, have new ones fetched from the Hugging Face Hub, "
        "and change presets; not on a Hugging Face Space unless set.",
    )
    private_gallery: Literal["auto", "on", "off"] = Field(
        default="auto",
        description="Show each visitor their own pictures only; auto does so where others than this machine's user may "
        "come: on a Hugging Face Space, another address than the machine's own, a public link, or behind a proxy. With "
        "off, every visitor sees all pictures and may delete them.",
    )
    trash_hours: float = Field(
        default=24.0, ge=0, description="Hours after which deleted pictures are removed for good."
    )
    zero_gpu: bool = Field(
        default_factory=is_on_zero_gpu,
        description="Have a GPU lent for each job, as Hugging Face's ZeroGPU Spaces do, on which it is on unless set.",
    )
    zero_gpu_seconds: int = Field(
        default=120, ge=20, le=3600, description="Seconds that ZeroGPU is asked to lend its GPU for one job, at most."
    )
    in_process: bool = Field(default=False, description="Run the worker as a thread of the web process.")
    offline: bool = Field(default=False, description="Never ask the Hugging Face Hub.")

    @property
    def pictures(self) -> Path:
        """Folder of the gallery."""
        return self.home / "pictures"

    @property
    def thumbnails(self) -> Path:
        """Folder of the gallery's small pictures, which are made again where they are missing."""
        return self.home / "thumbnails"

    @property
    def inputs(self) -> Path:
        """Folder of the pictures that requests were given."""
        return self.home / "inputs"

    @property
    def jobs(self) -> Path:
        """Folder of the job tables."""
        return self.home / "jobs"

    @property
    def control_pictures(self) -> Path:
        """Folder of the control pictures made so far, which are made again where they are missing."""
        return self.home / "control"

    @property
    def presets(self) -> Path:
        """Folder of the person's own presets and styles."""
        return self.home / "presets"

    @property
    def model_roots(self) -> tuple[Path, ...]:
        """Folders that hold `checkpoints/`, `loras/` ...: the home's own first."""
        return (self.home / "models", *self.models_dir)


def load_settings(arguments: Mapping[str, Any]) -> Settings:
    """Settings from the home's file, the environment and `arguments` (those not None), the last winning.

    Raises `pydantic.ValidationError` for a value that is not allowed, `SettingRefused` for a name in the file that is
    no setting and a folder of models that does not exist, `ValueError` for a file that is no JSON object.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    home = Path(given.get("home") or os.environ.get("EASEL_HOME") or Settings.model_fields["home"].default)
    home = _expanded(home).absolute()
    from_file = _read_file(home / SETTINGS_FILE)
    from_environment = {name for name in Settings.model_fields if f"EASEL_{name.upper()}" in os.environ}
    kept = {name: value for name, value in from_file.items() if name not in from_environment}
    settings = Settings(**{**kept, **given, "home": home})
    for folder in settings.models_dir:
        if not folder.is_dir():
            raise SettingRefused(
                f"The folder of models {shortened(str(folder), 150)} does not exist.", field="models_dir"
            )
    return settings


def _read_file(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    values = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(values, dict):
        raise ValueError(f"{path} must hold a JSON object.")
    for name in values:
        _check_name(name, path)
    return values


def _check_name(name: str, path: Path) -> None:
    if name == "home":
        raise SettingRefused(f"{path} lies in the home and cannot name another; use --home or EASEL_HOME.", field=name)
    if name not in Settings.model_fields:
        near = get_close_matches(name[:100], Settings.model_fields, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise SettingRefused(f"There is no setting {shortened(name)}.{hint} It stands in {path}.", field=name)
