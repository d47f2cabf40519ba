"""Control pictures by detectors with weights: the real architectures, with numbers that mean nothing."""

import pickle
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.detectors import DETECTORS
from pipelines.engine.catalog import Catalog
from pipelines.engine.conditioning import Conditioner
from pipelines.engine.context import Context
from pipelines.engine.errors import Cancelled, PreprocessorMissing, PreprocessorRefused
from pipelines.engine.jobs import Loading
from pipelines.engine.manager import PipelineManager
from pipelines.engine.policy import Hardware, decide
from pipelines.preprocess import control_picture
from presets.control_pictures import ControlPictures
from presets.gallery import Gallery
from presets.inputs import Inputs
from presets.preprocessors import PREPROCESSORS, PreprocessSettings
from presets.settings import Settings
from tests.annotators import save, save_depth_anything, save_dpt, teed
from tests.payloads import FORMATS, zip_bombs
from tests.scenes import house

SMALL = ("softedge-hed", "scribble-hed", "softedge-pidinet", "scribble-pidinet", "softedge-teed", "anyline",
         "lineart-realistic", "lineart-coarse", "mlsd", "depth", "depth-dpt")  # fmt: skip
"""Those that quickly look at a picture."""
LARGE = ("lineart-anime", "depth-midas", "normal-midas", "depth-leres", "normal-bae", "openpose-full")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    folder = home / "models/annotators"
    files = {file for name in SMALL for file in PREPROCESSORS[name].weights.names if "." in file}
    save(folder, *sorted(files))
    save_depth_anything(folder / "Depth-Anything-V2-Small-hf")
    save_dpt(folder / "dpt-hybrid-midas")
    return home


def opened(home, budget=None, cancelled=False):
    """A context over the folders in `home`, whose events are kept in `context.send.__self__`."""
    settings = Settings(home=home, threads=1, offline=True, memory_budget=budget)
    policy = decide(Hardware("cpu", "a machine", 2**34, 1), settings)
    models = PipelineManager(Catalog((home / "models",), home), policy, settings)
    parts = (models, policy, Conditioner(), Gallery(home / "pictures"), Inputs(home / "inputs"))
    return Context(*parts, [].append, lambda: cancelled)


@pytest.fixture(scope="module")
def context(home):
    return opened(home)


def made(context, name, image=None, **values):
    return control_picture(image or house(), PreprocessSettings(preprocessor=name, **values), context)


def loaded(context):
    return [event.what for event in context.send.__self__ if isinstance(event, Loading)]


def test_every_preprocessor_with_weights_has_a_detector():
    assert set(DETECTORS) == {name for name, row in PREPROCESSORS.items() if row.weights is not None}


@pytest.mark.parametrize("name", SMALL)
def test_a_detector_makes_a_picture_of_the_same_size_and_the_same_again(context, name):
    given = house().resize((100, 90))
    first, again = (np.asarray(made(context, name, given)) for _ in range(2))
    assert (first.shape, first.dtype) == ((90, 100, 3), np.uint8)
    assert np.array_equal(first, again)


@pytest.mark.parametrize("name", LARGE)
def test_a_large_detector_loads_its_files_and_looks(tmp_path, name):
    save(tmp_path / "models/annotators", *PREPROCESSORS[name].weights.names, small=True)
    pixels = np.asarray(made(opened(tmp_path), name, house(64)))
    assert (pixels.shape, pixels.dtype) == ((64, 64, 3), np.uint8)


@pytest.mark.parametrize("name", [name for name in SMALL if name != "mlsd" and not name.startswith("scribble")])
def test_what_a_detector_makes_depends_on_the_picture(context, name):
    assert not np.array_equal(
        np.asarray(made(context, name)), np.asarray(made(context, name, Image.new("RGB", (128, 128))))
    )


def test_the_weights_of_the_file_are_those_that_look(context, home):
    from controlnet_aux.hed import HEDdetector

    theirs = HEDdetector.from_pretrained(str(home / "models/annotators"))(house(), 128, 128)
    assert np.array_equal(np.asarray(made(context, "softedge-hed")), np.asarray(theirs))


def test_depth_is_stretched_from_black_to_white(context):
    for name in ("depth", "depth-dpt"):
        depth = np.asarray(made(context, name))
        assert (depth.min(), depth.max()) == (0, 255)
        assert (depth == depth[:, :, :1]).all()


def test_the_resolution_is_that_of_what_is_made(context):
    assert made(context, "canny", resolution=256).size == (256, 256)
    assert made(context, "softedge-teed", house().resize((128, 64)), resolution=96).size == (192, 96)
    assert made(context, "none").tobytes() == house().tobytes()


def test_a_detector_is_loaded_once_for_all_that_use_its_file(home):
    context = opened(home)
    made(context, "softedge-pidinet")
    made(context, "scribble-pidinet")
    assert loaded(context) == ["Soft edge (PiDiNet)"]
    (resident,) = context.models.memory().residents
    assert resident.name == "Soft edge (PiDiNet) (preprocessor)"
    assert resident.bytes == context.models.bytes_loaded > 2_000_000


def test_detectors_leave_memory_by_its_budget_the_least_recently_used_first(home):
    context = opened(home, budget=3_500_000)
    for name in ("softedge-teed", "softedge-pidinet", "softedge-teed", "mlsd", "softedge-teed"):
        made(context, name)
    small, medium, large = "Soft edge (TEED)", "Soft edge (PiDiNet)", "Straight lines (M-LSD)"
    assert loaded(context) == [small, medium, large, small]
    assert context.models.bytes_loaded <= 3_500_000


def test_what_was_made_before_is_not_made_again(home, tmp_path):
    context = opened(home)
    remembering = Context(context.models, context.policy, context.conditioner, context.gallery, context.inputs,
                          context.send, context.is_cancelled, control_pictures=ControlPictures(tmp_path))  # fmt: skip
    first = made(remembering, "softedge-teed")
    context.models.release()
    assert made(remembering, "softedge-teed").tobytes() == first.tobytes()
    assert loaded(context) == ["Soft edge (TEED)"]
    (entry,) = tmp_path.iterdir()
    entry.write_bytes(b"damaged")
    assert made(remembering, "softedge-teed").tobytes() == first.tobytes()
    assert len(loaded(context)) == 2


def test_parameters_that_do_not_matter_make_no_other_entry(home, tmp_path):
    context = opened(home)
    remembering = Context(context.models, context.policy, context.conditioner, context.gallery, context.inputs,
                          context.send, context.is_cancelled, control_pictures=ControlPictures(tmp_path))  # fmt: skip
    for values in ({}, {"gamma": 0.5}, {"low_threshold": 50}):
        made(remembering, "canny", **values)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_file_of_weights_that_changes_is_read_anew(tmp_path):
    home = tmp_path
    save(home / "models/annotators", "5_model.pth")
    context = opened(home)
    first = made(context, "softedge-teed")
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(99)
        torch.save(teed(), home / "models/annotators/5_model.pth")
    assert made(context, "softedge-teed").tobytes() != first.tobytes()
    assert len(loaded(context)) == 2


def test_a_cancelled_job_makes_nothing(home):
    with pytest.raises(Cancelled):
        made(opened(home, cancelled=True), "canny")


def test_missing_weights_are_told(tmp_path):
    with pytest.raises(PreprocessorMissing, match="Straight lines .* needs mlsd_large_512_fp32.pth in "):
        made(opened(tmp_path), "mlsd")


class Harmful:
    def __reduce__(self):
        return print, ("code ran",)


@pytest.mark.parametrize("case", ["code", "text", "tar", "empty", "cut", "other", "compressed", "overlapping", "table"])
def test_a_file_that_is_not_what_its_name_says_is_refused_and_nothing_in_it_runs(tmp_path, capsys, case):
    path = save(tmp_path / "models/annotators", "5_model.pth") / "5_model.pth"
    whole = path.read_bytes()
    if case == "code":
        torch.save({"weights": Harmful()}, path)
    elif case == "other":
        torch.save({"weights": torch.zeros(3)}, path)
    elif case == "table":
        torch.save([1, 2], path)
    elif case == "compressed":
        with zipfile.ZipFile(path) as archive, zipfile.ZipFile(tmp_path / "new", "w", zipfile.ZIP_DEFLATED) as packed:
            for name in archive.namelist():
                packed.writestr(name, archive.read(name))
        (tmp_path / "new").replace(path)
    elif case == "overlapping":
        path.write_bytes(zip_bombs()["overlapping"]())
    elif case == "tar":
        path.write_bytes(FORMATS["tar"](pickle.dumps({})))
    else:
        path.write_bytes({"text": b"<html>not found</html>", "empty": b"", "cut": whole[: len(whole) // 2]}[case])
    with pytest.raises(PreprocessorRefused, match=r"'5_model.pth' cannot be used: its? ") as caught:
        made(opened(tmp_path), "softedge-teed")
    is_unsafe = case in ("code", "compressed", "overlapping")
    assert caught.value.code == ("E-MODEL-UNSAFE" if is_unsafe else "E-MODEL-CORRUPT")
    assert "code ran" not in capsys.readouterr().out


def test_a_folder_of_depth_without_sound_weights_is_refused(tmp_path):
    folder = save_dpt(tmp_path / "models/annotators/dpt")
    (folder / "model.safetensors").write_bytes(b"cut off")
    with pytest.raises(PreprocessorRefused, match="'dpt' cannot be used: it does not hold"):
        made(opened(tmp_path), "depth-dpt")
