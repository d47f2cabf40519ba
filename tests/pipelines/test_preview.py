"""Latents to thumbnails."""

import io
import json

import torch
from PIL import Image

from pipelines.engine.pace import Pace
from pipelines.engine.preview import PREVIEW_SIDE, LatentMap, jpeg, read_latent_map, thumbnail

RED_IS_FIRST = LatentMap(matrix=((1, 0, 0), (0, 0, 0), (0, 0, 0), (0, 0, 0)), bias=(0, -1, -1))


def test_a_thumbnail_has_the_colours_of_the_map():
    latents = torch.zeros(1, 4, 8, 16)
    latents[:, 0, :, 8:] = 5.0
    image = thumbnail(latents, RED_IS_FIRST)
    assert image.size == (PREVIEW_SIDE, PREVIEW_SIDE // 2)
    assert image.getpixel((2, 2)) == (128, 0, 0)
    assert image.getpixel((PREVIEW_SIDE - 2, 2)) == (255, 0, 0)


def test_broken_latents_still_have_a_thumbnail():
    assert thumbnail(torch.full((1, 4, 8, 8), torch.nan), RED_IS_FIRST).size == (PREVIEW_SIDE, PREVIEW_SIDE)


def test_a_preview_is_a_small_jpeg():
    data = jpeg(thumbnail(torch.zeros(1, 4, 128, 128), RED_IS_FIRST))
    assert Image.open(io.BytesIO(data)).format == "JPEG"
    assert len(data) < 10_000


def test_a_model_brings_its_own_map(tmp_path):
    own = LatentMap(matrix=((0.5, 0, 0),) * 4, bias=(0, 0, 0))
    (tmp_path / "preview.json").write_text(json.dumps({"matrix": own.matrix, "bias": own.bias}))
    assert read_latent_map(tmp_path, RED_IS_FIRST) == own


def test_without_a_readable_map_the_usual_one_is_taken(tmp_path):
    assert read_latent_map(tmp_path, RED_IS_FIRST) is RED_IS_FIRST
    (tmp_path / "preview.json").write_text("{}")
    assert read_latent_map(tmp_path, RED_IS_FIRST) is RED_IS_FIRST


def test_previews_keep_their_distance():
    pace = Pace(interval=60)
    assert [pace.due() for _ in range(3)] == [True, False, False]
    assert all(Pace(interval=0).due() for _ in range(3))
