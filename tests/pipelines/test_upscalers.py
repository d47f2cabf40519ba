"""Upscaling models: found by their headers, told apart by spandrel, held with the checkpoints; broken ones refused."""

import os

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from spandrel.architectures.ESRGAN import ESRGAN

from pipelines.engine.catalog import EXTRAS, Catalog
from pipelines.engine.errors import UpscalerNotFound, UpscalerRefused
from pipelines.engine.manager import PipelineManager
from pipelines.engine.policy import Hardware, decide
from pipelines.engine.upscaler_files import UpscalerFiles
from presets.errors import UserError
from presets.settings import Settings
from tests.upscalers import save_upscaler, tiny_compact

GREY = Image.new("RGB", (20, 12), (90, 120, 200))


class Runs:
    def __reduce__(self):
        return os.system, ("touch ran",)


@pytest.fixture
def root(tmp_path):
    save_upscaler(tiny_compact(2), tmp_path / "upscalers" / "twice.safetensors")
    return tmp_path


@pytest.fixture
def files(root):
    return UpscalerFiles(Catalog((root, EXTRAS), root / "none"))


def manager_of(root):
    settings = Settings(home=root / "home")
    policy = decide(Hardware("cpu", "a CPU", 2**33, 1), settings)
    return PipelineManager(Catalog((root, EXTRAS), root / "none"), policy, settings)


def enlarged(root, name, picture=GREY):
    with manager_of(root).upscaler(name) as upscaler:
        return upscaler.enlarge(picture, lambda: None), upscaler


def test_models_are_listed_the_one_that_ships_first_and_plain_resampling_last(files):
    assert files.names()[:2] == ("storybook-x2", "twice")
    assert files.names()[-6:] == ("lanczos", "bicubic", "hamming", "bilinear", "box", "nearest")
    assert [files.listed(name) for name in ("", "TWICE", " Lanczos")] == ["storybook-x2", "twice", "lanczos"]


@pytest.mark.parametrize("folder", ["upscale_models", "ESRGAN", "RealESRGAN"])
def test_folders_of_other_programs_are_looked_into(files, root, folder):
    save_upscaler(tiny_compact(2), root / folder / "theirs.pth")
    assert files.find("theirs").path.parent.name == folder


def test_an_unknown_name_is_told_with_the_three_nearest(files, root):
    for name in ("4x-photo", "4x-photos", "4x-photo-2"):
        save_upscaler(tiny_compact(2), root / "upscalers" / f"{name}.safetensors")
    with pytest.raises(
        UpscalerNotFound, match=r"'4x-foto'. The nearest: 4x-photo, 4x-photos, 4x-photo-2. \[E-UPSCALER"
    ):
        files.find("4x-foto")


@pytest.mark.parametrize(("name", "under"), [("a.pth", ""), ("a.pth", "params_ema"), ("a.pt", "params")])
def test_pickled_models_are_read_without_unpickling(root, name, under):
    model = tiny_compact(3)
    save_upscaler(model, root / "upscalers" / name, under=under)
    made, upscaler = enlarged(root, "a")
    with torch.no_grad():
        wanted = model(torch.from_numpy(np.array(GREY)).permute(2, 0, 1)[None] / 255)[0].clamp(0, 1) * 255
    assert made.size == (60, 36) and upscaler.about["architecture"] == "RealESRGAN Compact"
    assert np.array_equal(np.array(made), wanted.round().byte().permute(1, 2, 0).numpy())


def test_other_architectures_are_told_apart(root):
    torch.manual_seed(0)
    save_upscaler(ESRGAN(num_filters=8, num_blocks=1, scale=4), root / "upscalers" / "photo.safetensors")
    made, upscaler = enlarged(root, "photo")
    assert (made.size, upscaler.scale, upscaler.about["architecture"]) == ((80, 48), 4, "ESRGAN")


def test_models_of_one_channel_do_each_colour_apart(root):
    save_upscaler(tiny_compact(2, channels=1), root / "upscalers" / "grey.safetensors")
    made, _ = enlarged(root, "grey")
    assert made.mode == "RGB" and np.ptp(np.array(made)[12, 20]) > 80


def broken(kind, path):
    """A file that is no upscaler, in one of many ways."""
    whole = path.with_name("twice.safetensors").read_bytes()
    if kind == "code":
        torch.save({"body.0.weight": Runs()}, path)
    elif kind == "cut off":
        path.write_bytes(whole[:-200])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "page":
        path.write_bytes(b"<html>not found</html>")
    elif kind == "checkpoint":
        save_file({"model.diffusion_model.input_blocks.0.0.weight": torch.ones(8, 4, 3, 3)}, path)
    elif kind == "unknown":
        save_file({"something.weight": torch.ones(4, 4)}, path)
    elif kind == "ill-fitting":
        state = tiny_compact(2).state_dict()
        save_file(state | {"body.2.weight": torch.ones(4, 9, 3, 3)}, path)
    else:
        state = tiny_compact(2).state_dict()
        save_file(state | {"body.2.weight": state["body.2.weight"] * float("nan")}, path)


@pytest.mark.parametrize(
    ("kind", "name", "code", "words"),
    [
        ("code", "odd.pth", "E-MODEL-UNSAFE", "contains code"),
        ("cut off", "odd.safetensors", "E-MODEL-CORRUPT", "cut off"),
        ("empty", "odd.safetensors", "E-MODEL-CORRUPT", ""),
        ("page", "odd.pth", "E-MODEL-CORRUPT", ""),
        ("checkpoint", "odd.safetensors", "E-MODEL-FAMILY", "is a checkpoint, no upscaler"),
        ("unknown", "odd.safetensors", "E-MODEL-FAMILY", "spandrel knows"),
        ("ill-fitting", "odd.safetensors", "E-MODEL-CORRUPT", "do not fit together"),
        ("without numbers", "odd.safetensors", "E-NAN", "holds NaN or infinity"),
    ],
)
def test_a_file_that_is_none_is_refused_by_its_name_and_the_next_model_works(root, kind, name, code, words):
    broken(kind, root / "upscalers" / name)
    with pytest.raises(UserError, match="odd") as refused:
        enlarged(root, "odd")
    assert (refused.value.code, refused.value.field) == (code, "upscaler") and words in refused.value.message
    assert not (root / "ran").exists()
    assert enlarged(root, "twice")[0].size == (40, 24)


def test_what_was_found_out_only_by_using_a_file_is_remembered_until_it_changes(root):
    broken("unknown", root / "upscalers" / "odd.safetensors")
    manager = manager_of(root)
    for _ in range(2):
        with pytest.raises(UpscalerRefused), manager.upscaler("odd"):
            pass
    save_upscaler(tiny_compact(2), root / "upscalers" / "odd.safetensors")
    with manager.upscaler("odd") as upscaler:
        assert upscaler.scale == 2


def test_a_model_is_loaded_once_counted_and_let_go(root):
    manager = manager_of(root)
    for _ in range(2):
        with manager.upscaler("twice") as upscaler:
            assert [resident.pinned for resident in manager.memory().residents] == [True]
            module = upscaler.descriptor.model
    with manager.upscaler("twice") as upscaler:
        assert upscaler.descriptor.model is module
    size = sum(parameter.nbytes for parameter in module.parameters())
    assert manager.bytes_loaded == size
    assert [resident.name for resident in manager.memory().residents] == ["twice (upscaler)"]
    manager.release()
    assert manager.bytes_loaded == 0


def test_files_with_the_same_weights_run_the_one_model_that_is_counted(root):
    save_upscaler(tiny_compact(2), root / "upscalers" / "again.pth")
    manager = manager_of(root)
    with manager.upscaler("twice") as upscaler:
        module = upscaler.descriptor.model
    with manager.upscaler("again") as upscaler:
        assert upscaler.descriptor.model is module
        manager.release()
        assert [resident.name for resident in manager.memory().residents] == ["again (upscaler)"]
        assert upscaler.enlarge(GREY, lambda: None).size == (40, 24)
    assert manager.bytes_loaded == sum(parameter.nbytes for parameter in module.parameters())


def test_what_is_told_between_layers_may_end_it(root):
    class Enough(Exception):
        pass

    calls = []

    def check():
        calls.append(1)
        if len(calls) == 3:
            raise Enough

    with manager_of(root).upscaler("twice") as upscaler:
        with pytest.raises(Enough):
            upscaler.enlarge(GREY, check)
        assert upscaler.enlarge(GREY, lambda: None).size == (40, 24)
