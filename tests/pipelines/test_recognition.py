"""Families and variants, told by names, shapes and configs alone."""

import struct

import pytest

from pipelines.engine.catalog import Catalog
from pipelines.engine.errors import ModelFamily
from pipelines.engine.families import FAMILIES
from pipelines.engine.headers import read_header
from presets.errors import InvalidField
from tests.safetensors_files import REFINER, SD1, SD2, SDXL, write_folder, write_json, write_safetensors

FIRST = "model.diffusion_model.input_blocks.0.0.weight"
NORM = "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias"


@pytest.fixture
def checkpoints(tmp_path):
    folder = tmp_path / "models/checkpoints"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def catalog(tmp_path, checkpoints):
    return Catalog((checkpoints.parent,), write_folder(tmp_path / "starter"))


@pytest.mark.parametrize(
    ("shapes", "family", "title", "size"),
    [
        (SD1, "sd1", "Stable Diffusion 1.x", 512),
        (SD2, "sd2", "Stable Diffusion 2.x", 512),
        (SDXL, "sdxl", "Stable Diffusion XL", 1024),
        (REFINER, "sdxl-refiner", "Stable Diffusion XL refiner", 1024),
    ],
)
def test_single_file_is_of_the_family_that_its_names_tell(catalog, checkpoints, shapes, family, title, size):
    write_safetensors(checkpoints / "a.safetensors", shapes)
    model = catalog.find("a")
    assert (model.family, model.info().family, model.native_size) == (family, title, (size, size))


@pytest.mark.parametrize(
    ("class_name", "unet", "family"),
    [
        ("StableDiffusionPipeline", {}, "sd1"),
        ("StableDiffusionPipeline", {"cross_attention_dim": 1024}, "sd2"),
        ("StableDiffusionPipeline", {"use_linear_projection": True}, "sd2"),
        ("StableDiffusionXLPipeline", {"use_linear_projection": True}, "sdxl"),
        ("StableDiffusionXLImg2ImgPipeline", {}, "sdxl-refiner"),
        ("StableDiffusion3Pipeline", {}, "sd3"),
        ("FluxPipeline", {"in_channels": 64}, "flux"),
    ],
)
def test_folder_is_of_the_family_that_its_configs_tell(catalog, checkpoints, class_name, unet, family):
    write_folder(checkpoints / "a", class_name=class_name, unet=unet)
    assert catalog.find("a").family == family


def test_sdxl_folder_made_for_pictures_is_no_refiner(catalog, checkpoints):
    folder = write_folder(checkpoints / "a", class_name="StableDiffusionXLImg2ImgPipeline")
    index = {
        "_class_name": "StableDiffusionXLImg2ImgPipeline",
        "text_encoder": ["transformers", "CLIPTextModel"],
    }
    write_json(folder / "model_index.json", index)
    assert catalog.find("a").family == "sdxl"


def test_folder_of_sd3_may_lack_its_t5(catalog, checkpoints):
    folder = write_folder(checkpoints / "a", class_name="StableDiffusion3Pipeline")
    assert "text_encoder_3" in catalog.find("a").parts
    (folder / "text_encoder_3").rename(checkpoints.parent / "t5")
    (folder / "tokenizer_3").rename(checkpoints.parent / "tokenizer")
    assert not {"text_encoder_3", "tokenizer_3"} & set(catalog.find("a").parts)


@pytest.mark.parametrize(
    ("shapes", "channels", "title", "tasks"),
    [
        (SD1, 9, "Stable Diffusion 1.x inpainting", {"inpaint"}),
        (SD1, 8, "Stable Diffusion 1.x pix2pix", {"pix2pix"}),
        (SD2, 9, "Stable Diffusion 2.x inpainting", {"inpaint"}),
        (SDXL, 9, "Stable Diffusion XL inpainting", {"inpaint"}),
        (SDXL, 8, "Stable Diffusion XL pix2pix", {"pix2pix"}),
    ],
)
def test_variant_is_listed_and_refuses_what_it_was_not_made_for(catalog, checkpoints, shapes, channels, title, tasks):
    write_safetensors(checkpoints / "a.safetensors", {**shapes, FIRST: (8, channels, 3, 3)})
    model = catalog.find("a")
    assert (model.info().family, set(model.pipelines)) == (title, tasks)
    assert model.info().note.startswith("It ")
    with pytest.raises(ModelFamily, match=f"a {title} checkpoint: it .* picture.*, and cannot do text to image"):
        model.check_task("text-to-image")
    model.check_task(*tasks)
    with pytest.raises(InvalidField, match=f"Soft mask cannot be used with 'a', a {title} checkpoint"):
        model.check_soft_mask()


@pytest.mark.parametrize(
    ("class_name", "channels", "tasks"),
    [
        ("StableDiffusionInpaintPipeline", 9, {"inpaint"}),
        ("StableDiffusionInstructPix2PixPipeline", 8, {"pix2pix"}),
        ("FluxFillPipeline", 384, {"inpaint"}),
        ("FluxControlPipeline", 128, {"control"}),
    ],
)
def test_variant_in_a_folder_is_told_by_its_channels(catalog, checkpoints, class_name, channels, tasks):
    write_folder(checkpoints / "a", class_name=class_name, unet={"in_channels": channels})
    assert set(catalog.find("a").pipelines) == tasks


def test_refiner_says_what_it_is_for(catalog, checkpoints):
    write_safetensors(checkpoints / "a.safetensors", REFINER)
    with pytest.raises(ModelFamily, match="it adds detail to a given picture, and cannot do text to image") as caught:
        catalog.find("a").check_task("text-to-image")
    assert caught.value.code == "E-MODEL-FAMILY"


def with_norm(path, numbers, code="e"):
    """Give the SD 2.x file `path` these numbers in the tensor that tells its prediction."""
    place = read_header(path).places[NORM]
    with path.open("r+b") as file:
        file.seek(place.start)
        file.write(struct.pack(f"<{320}{code}", *numbers))


@pytest.mark.parametrize(
    ("spread", "prediction", "size"), [(0.02, "epsilon", 512), (0.15, "v_prediction", 768)], ids=["base", "768"]
)
def test_sd2_file_tells_its_prediction_by_one_small_tensor(catalog, checkpoints, spread, prediction, size):
    path = write_safetensors(checkpoints / "a.safetensors", SD2)
    with_norm(path, [spread * (-1) ** index for index in range(320)])
    model = catalog.find("a")
    assert (model.prediction, model.native_size) == (prediction, (size, size))


@pytest.mark.parametrize(
    ("metadata", "prediction"),
    [
        ({"modelspec.prediction_type": "v"}, "v_prediction"),
        ({"modelspec.architecture": "stable-diffusion-v2-768-v"}, "v_prediction"),
        ({"modelspec.prediction_type": "epsilon"}, "epsilon"),
        ({"modelspec.prediction_type": 7}, "epsilon"),
        ({}, "epsilon"),
    ],
)
def test_the_files_own_metadata_tells_its_prediction(catalog, checkpoints, metadata, prediction):
    write_safetensors(checkpoints / "a.safetensors", SD2, metadata)
    assert catalog.find("a").prediction == prediction


def test_config_beside_the_file_tells_its_prediction_first(catalog, checkpoints):
    write_safetensors(checkpoints / "a.safetensors", SD1, {"modelspec.prediction_type": "epsilon"})
    assert catalog.find("a").prediction == "epsilon"
    (checkpoints / "a.yaml").write_text('model:\n  params:\n    parameterization: "v"  # 768\n')
    assert catalog.find("a").prediction == "v_prediction"
    (checkpoints / "a.yaml").write_text("parameterization: eps")
    assert catalog.find("a").prediction == "epsilon"


def test_empty_tensor_marks_a_file_for_v_prediction(catalog, checkpoints):
    write_safetensors(checkpoints / "a.safetensors", {**SDXL, "v_pred": (0,), "ztsnr": (0,)})
    assert catalog.find("a").prediction == "v_prediction"


def test_every_family_knows_its_tasks_and_what_single_files_lack():
    for family in FAMILIES.values():
        assert family.configs.is_dir() == family.single_files
        assert {family.denoiser, "vae", "scheduler"} <= set(family.components)
        assert ("text-to-image" in family.pipelines) != bool(family.made_for)
        assert family.latent_channels in (4, 16)
