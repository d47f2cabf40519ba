"""Files of detectors: where they are looked for, and what is said where they are not there."""

import json
import os

import pytest
from huggingface_hub import constants

from pipelines.engine.annotators import Annotators
from pipelines.engine.errors import PreprocessorMissing
from presets.preprocessors import PREPROCESSORS

HED = PREPROCESSORS["softedge-hed"].weights
DEPTH = PREPROCESSORS["depth"].weights
FULL = PREPROCESSORS["openpose-full"].weights


@pytest.fixture(autouse=True)
def hub_cache(tmp_path, monkeypatch):
    """An empty cache of the Hub."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture
def roots(tmp_path):
    return (tmp_path / "models", tmp_path / "more")


@pytest.fixture
def annotators(roots):
    return Annotators(roots, offline=True)


def put(path, content="weights"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def put_model(folder, architecture):
    put(folder / "config.json", json.dumps({"architectures": [architecture]}))
    for name in ("preprocessor_config.json", "model.safetensors"):
        put(folder / name)
    return folder


def test_a_file_is_found_by_its_name_in_any_folder_of_models_the_first_first(annotators, roots):
    assert annotators.find(HED) is None
    second = put(roots[1] / "annotators/lllyasviel/Annotators/ControlNetHED.pth")
    assert annotators.find(HED) == (second,)
    first = put(roots[0] / "annotators/ControlNetHED.pth")
    assert annotators.find(HED) == (first,)


def test_files_elsewhere_or_behind_links_that_lead_out_are_not_used(annotators, roots, tmp_path):
    put(roots[0] / "checkpoints/ControlNetHED.pth")
    outside = put(tmp_path / "outside/ControlNetHED.pth")
    (roots[0] / "annotators").mkdir()
    (roots[0] / "annotators/ControlNetHED.pth").symlink_to(outside)
    (roots[0] / "annotators/sub").symlink_to(outside.parent)
    assert annotators.find(HED) is None


def test_a_link_into_another_folder_of_models_is_followed(annotators, roots):
    there = put(roots[1] / "shared/ControlNetHED.pth")
    here = roots[0] / "annotators/ControlNetHED.pth"
    here.parent.mkdir(parents=True)
    here.symlink_to(there)
    assert annotators.find(HED) == (here,)


def test_what_is_no_regular_file_is_not_used(annotators, roots):
    (roots[0] / "annotators").mkdir(parents=True)
    os.mkfifo(roots[0] / "annotators/ControlNetHED.pth")
    assert annotators.find(HED) is None


def test_a_folder_is_found_by_its_architecture_the_one_of_the_repositorys_name_first(annotators, roots):
    put_model(roots[0] / "annotators/dpt", "DPTForDepthEstimation")
    other = put_model(roots[0] / "annotators/a-larger-one", "DepthAnythingForDepthEstimation")
    assert [path.parent for path in annotators.find(DEPTH)] == [other] * 3
    named = put_model(roots[1] / "annotators/Depth-Anything-V2-Small-hf", "DepthAnythingForDepthEstimation")
    assert [path.parent for path in annotators.find(DEPTH)] == [named] * 3


@pytest.mark.parametrize("config", ["", "[]", "{", '{"architectures": 5}', '{"architectures": null}'])
def test_a_config_that_says_nothing_is_passed_over(annotators, roots, config):
    put(put_model(roots[0] / "annotators/depth", "DepthAnythingForDepthEstimation") / "config.json", config)
    assert annotators.find(DEPTH) is None


def test_a_folder_without_its_weights_is_not_complete(annotators, roots):
    folder = put_model(roots[0] / "annotators/depth", "DepthAnythingForDepthEstimation")
    (folder / "model.safetensors").unlink()
    assert annotators.find(DEPTH) is None


def test_what_is_missing_is_told_by_file_folder_and_source(annotators, roots):
    put(roots[1] / "annotators/body_pose_model.pth")
    with pytest.raises(PreprocessorMissing) as caught:
        annotators.check("openpose-full")
    told = caught.value
    assert (told.code, told.field) == ("E-PREPROCESSOR-MISSING", "preprocessor")
    assert "Pose with hands and faces needs hand_pose_model.pth and facenet.pth in " in told.message
    assert "lllyasviel/Annotators, but Easel was told to stay offline." in told.message
    assert len(told.message) < 300


def test_a_folder_that_is_missing_is_told_by_its_name(annotators):
    with pytest.raises(PreprocessorMissing, match="needs Depth-Anything-V2-Small-hf in .*depth-anything/Depth-Any"):
        annotators.check("depth")


def test_what_needs_nothing_or_is_here_is_not_missing(annotators, roots):
    put(roots[0] / "annotators/ControlNetHED.pth")
    annotators.check("canny")
    annotators.check("scribble-hed")
    assert annotators.fetch("softedge-hed", print) == (roots[0] / "annotators/ControlNetHED.pth",)


def test_what_the_hubs_cache_has_is_here(annotators, roots, hub_cache):
    repository = hub_cache / "models--lllyasviel--Annotators"
    put(repository / "refs/main", "c0ffee")
    cached = [put(repository / "snapshots/c0ffee" / name) for name in ("hand_pose_model.pth", "facenet.pth")]
    body = put(roots[0] / "annotators/body_pose_model.pth")
    assert annotators.find(FULL) == (body, *cached)


def test_the_list_tells_of_every_preprocessor_what_it_needs_and_whether_it_is_here(annotators, roots):
    put(roots[0] / "annotators/ControlNetHED.pth")
    rows = {row.name: row for row in annotators.list()}
    assert tuple(rows) == tuple(PREPROCESSORS)
    assert [rows[name].is_here for name in ("none", "canny", "softedge-hed", "scribble-hed", "mlsd")] == [True] * 4 + [
        False
    ]
    assert rows["softedge-hed"].needs == ("ControlNetHED.pth",)
    assert rows["depth"].needs == ("Depth-Anything-V2-Small-hf",)
    assert (rows["canny"].parameters, rows["canny"].repository) == (("low_threshold", "high_threshold"), "")


def test_without_a_network_the_reason_is_the_connection(roots, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(PreprocessorMissing, match="but the environment says HF_HUB_OFFLINE"):
        Annotators(roots, offline=False).fetch("mlsd", lambda _: None)
