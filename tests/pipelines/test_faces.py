"""Faces: found by their eyes, restored by models of the real architectures, and nothing else of the picture touched."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from skimage import data

from pipelines.engine.catalog import EXTRAS, Catalog
from pipelines.engine.context import Context
from pipelines.engine.errors import Cancelled, FaceRestorerNotFound, FaceRestorerRefused, UpscalerRefused
from pipelines.engine.face_restorer_files import FaceRestorerFiles
from pipelines.engine.jobs import Progress, Saved
from pipelines.engine.manager import PipelineManager
from pipelines.engine.policy import Hardware, decide
from pipelines.engine.upscaler_files import UpscalerFiles
from pipelines.face_finding import Face, find_faces
from pipelines.faces import LEFT_EYE, RIGHT_EYE, SIDE, aligned, paste
from pipelines.upscale import run
from presets.gallery import Gallery
from presets.inputs import Inputs
from presets.metadata import read_request
from presets.settings import Settings
from presets.upscale import Upscale
from tests.face_restorers import gfpgan, tiny_restorer, turned, two_faces
from tests.upscalers import save_upscaler, tiny_compact

ALONE = {"upscaler": "lanczos", "factor": 1}
"""Nothing but the faces changes."""
FACES = [Face((60.0, 70.0), (110.0, 80.0)), Face((240.0, 180.0), (265.0, 170.0)), Face((100.0, 150.0), (300.0, 185.0))]


def nothing() -> None:
    pass


def smooth(width: int, height: int) -> np.ndarray:
    noise = np.random.default_rng(3).integers(60, 196, (height // 40, width // 40, 3), np.uint8)
    return np.array(Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC))


@pytest.mark.parametrize(("angle", "scale"), [(0, 1), (-25, 1), (25, 0.7), (10, 2.5)])
def test_a_face_is_found_by_its_eyes_however_it_is_turned(angle, scale):
    picture, eyes = turned(angle, scale)
    (face,) = find_faces(np.array(picture), nothing)
    for found, wanted in zip((face.left_eye, face.right_eye), eyes, strict=True):
        assert math.dist(found, wanted) < 0.05 * math.dist(*eyes)


@pytest.mark.parametrize("picture", [data.coffee(), np.zeros((40, 32, 3), np.uint8), smooth(320, 160)])
def test_no_face_is_seen_where_there_is_none(picture):
    assert find_faces(picture, nothing) == ()


@pytest.mark.parametrize("face", FACES)
def test_eyes_come_to_lie_where_models_know_them(face):
    picture = np.zeros((300, 400, 3), np.uint8)
    for x, y in (face.left_eye, face.right_eye):
        picture[int(y) - 2 : int(y) + 3, int(x) - 2 : int(x) + 3] = 255
    square = aligned(picture, face)[..., 0]
    for x, y in (LEFT_EYE, RIGHT_EYE):
        assert square[round(y), round(x)] > 100
    assert square[: round(LEFT_EYE[1]) - 60].max() == 0


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_what_is_restored_is_brought_back_to_the_place_it_came_from(face, strength):
    picture = smooth(400, 304)
    made = picture.copy()
    square = aligned(picture, face).astype(np.float32)
    paste(made, face, 255 - 2 * square, strength)
    middle = [round((a + b) / 2) for a, b in zip(face.left_eye, face.right_eye, strict=True)]
    reach = max(4, int(face.size * 0.9))
    rows, columns = (slice(max(0, place - reach), place + reach) for place in (middle[1], middle[0]))
    wanted = picture + strength * (255 - 2.0 * picture)
    assert np.abs(made - wanted)[rows, columns].max() <= 4 * strength  # what changes is twice what there was
    across = SIDE / (RIGHT_EYE[0] - LEFT_EYE[0]) * face.size * 1.5
    far = np.hypot(*np.meshgrid(np.arange(400) - middle[0], np.arange(304) - middle[1])) > across
    assert np.array_equal(made[far], picture[far])


def test_what_nothing_changes_stays_to_the_pixel():
    picture = np.random.default_rng(3).integers(0, 256, (300, 400, 3), np.uint8)
    made = picture.copy()
    for face in FACES:
        paste(made, face, np.zeros((SIDE, SIDE, 3), np.float32), 1.0)
    assert np.array_equal(made, picture)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    save_upscaler(tiny_restorer(), root / "face_restorers" / "mender.safetensors")
    save_upscaler(tiny_compact(2), root / "face_restorers" / "twice.safetensors")
    save_upscaler(tiny_restorer(), root / "upscalers" / "mender.safetensors")
    save_upscaler(gfpgan().half(), root / "GFPGAN" / "GFPGANv1.4.pth", under="params_ema")
    return root


@pytest.fixture
def context(root, tmp_path):
    settings = Settings(home=tmp_path)
    policy = decide(Hardware("cpu", "a CPU", 2**33, 1), settings)
    manager = PipelineManager(Catalog((root, EXTRAS), root / "none"), policy, settings)
    parts = (manager, policy, None, Gallery(settings.pictures), Inputs(settings.inputs))
    return Context(*parts, [].append, lambda: False)


def events_of(context):
    return context.send.__self__


def restored(context, picture, **values):
    """The saved picture and its event."""
    run(Upscale(image=context.inputs.keep(picture), **ALONE, face_restorer="mender", **values), context)
    (saved,) = [event for event in events_of(context) if isinstance(event, Saved)]
    with Image.open(saved.path) as image:
        image.load()
    return image, saved


def test_the_faces_change_and_nothing_else(context):
    given = two_faces().convert("RGBA")
    given.putalpha(given.getchannel("R"))
    made, saved = restored(context, given)
    changed = np.abs(np.array(made).astype(int) - np.array(given)).max(2)
    for x, y in ((186, 126), (422, 88)):
        assert np.median(changed[y - 10 : y + 10, x - 20 : x + 20]) > 10
    assert changed[:, 318:340].max() == changed[190:, 330:].max() == changed[:20, :60].max() == 0
    assert np.array_equal(np.array(made.getchannel("A")), np.array(given.getchannel("A")))
    record = read_request(saved.path).record
    assert saved.notes == ("2 faces restored.",) and record["faces"] == 2
    assert record["face_restorer"]["architecture"] == "RestoreFormer" and record["timings"]["faces"] > 0
    steps = [(event.step, event.steps) for event in events_of(context) if isinstance(event, Progress)]
    assert steps == [(1, 2), (2, 2)]
    names = [resident.name for resident in context.models.memory().residents]
    assert names == ["mender (face restorer)"]


def test_where_no_face_is_it_is_said_and_no_model_is_loaded(context):
    given = two_faces().filter(ImageFilter.GaussianBlur(20))
    made, saved = restored(context, given)
    assert np.array_equal(np.array(made), np.array(given))
    assert saved.notes == ("No face was found to restore.",)
    assert not context.models.memory().residents


def test_a_cancelled_job_ends_within_a_face(context):
    calls = []

    def is_cancelled():
        calls.append(1)
        return bool(context.models.memory().residents) and len(calls) % 10 == 0

    with pytest.raises(Cancelled):
        restored(replace(context, is_cancelled=is_cancelled), turned(0)[0])
    assert not [event for event in events_of(context) if isinstance(event, Progress | Saved)]


def test_gfpgan_is_handed_what_it_was_trained_on_and_gives_the_same_each_time(context):
    picture = Image.fromarray(aligned(np.array(turned(0)[0]), Face(*turned(0)[1])))
    with context.models.face_restorer("gfpganv1.4") as restorer:
        made = np.array(restorer.made_of(picture, nothing)).astype(int)
        model = restorer.descriptor.model
    values = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.inference_mode():
        wanted = model(values, return_rgb=False, randomize_noise=False)[0][0].permute(1, 2, 0)
    assert np.abs(made - ((wanted.numpy() + 1) * 127.5).clip(0, 255)).max() <= 1
    assert made.std() > 5


def test_misplaced_files_are_told_where_they_belong(root):
    catalog = Catalog((root, EXTRAS), root / "none")
    restorers, upscalers = FaceRestorerFiles(catalog), UpscalerFiles(catalog)
    assert restorers.names() == ("GFPGANv1.4", "mender") and "mender" not in upscalers.names()
    with pytest.raises(FaceRestorerRefused, match="'twice' cannot be used: it is an upscaler: move it to the upscal"):
        restorers.find("twice")
    with pytest.raises(UpscalerRefused, match="'mender' cannot be used: it is a face restorer: move it to the face_re"):
        upscalers.find("mender")
    with pytest.raises(FaceRestorerNotFound, match="No face restorer is called 'mendr'. The nearest: mender"):
        restorers.find("mendr")
    with pytest.raises(FaceRestorerNotFound, match="'any'. Files of GFPGAN or RestoreFormer belong"):
        FaceRestorerFiles(Catalog((root / "none",), root / "none")).find("any")


def test_codeformer_says_what_it_needs(root, context):
    names = ("position_emb", "idx_pred_layer.1.weight", "quantize.embedding.weight")
    path = root / "face_restorers" / "codeformer.pth"
    torch.save({"params_ema": {name: torch.zeros(2, 2) for name in names}}, path)
    with pytest.raises(FaceRestorerRefused, match="spandrel_extra_arches"), context.models.face_restorer("codeformer"):
        pass
    path.unlink()
