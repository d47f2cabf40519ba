"""Pictures of every family that can be drawn: those of the raw diffusers pipeline, from folder and file."""

import numpy as np
import pytest
import torch

from pipelines.denoise import Watch, decode, denoise
from pipelines.engine import samplers
from pipelines.engine.catalog import Catalog
from pipelines.engine.conditioning import Conditioner
from pipelines.engine.errors import ModelFamily
from pipelines.engine.manager import PipelineManager
from pipelines.engine.policy import Hardware, decide
from presets.requests import TextToImage
from presets.settings import Settings
from tests.checkpoints import original_layout, save_folder, save_single_file, tiny_refiner, tiny_sd1, tiny_sd2

REQUEST = TextToImage(
    prompt="a cat", negative_prompt="a dog", steps=2, seed=3, width=96, height=64, guidance_scale=4, sampler="Euler"
)
MARKED = {"modelspec.prediction_type": "v"}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    save_single_file(tiny_sd2(), root / "checkpoints/sd2-epsilon.safetensors")
    save_single_file(tiny_sd2(prediction="v_prediction"), root / "checkpoints/sd2-v.safetensors", metadata=MARKED)
    for prediction in ("epsilon", "v_prediction"):
        save_folder(tiny_sd2(prediction=prediction), root / f"checkpoints/sd2-{prediction}-folder")
    torch.save(original_layout(tiny_sd1()), root / "checkpoints/sd1-old.ckpt")
    save_single_file(tiny_sd1(), root / "checkpoints/sd1-new.safetensors")
    save_single_file(tiny_refiner(), root / "checkpoints/refiner.safetensors")
    return root


@pytest.fixture(scope="module")
def models(root):
    policy = decide(Hardware("cpu", "CPU", 2**34, 1), Settings())
    return PipelineManager(Catalog((root,), root / "checkpoints/sd2-epsilon-folder"), policy, Settings())


def ours(models, name):
    with models.pipeline(name) as loaded:
        conditioning = Conditioner().encode(loaded.pipe, REQUEST.prompt, REQUEST.negative_prompt)
        latents = denoise(loaded.pipe, conditioning, REQUEST, Watch(lambda _: None))
        return np.array(decode(loaded.pipe, latents, name))


def raw(pipe):
    """What diffusers alone draws."""
    pipe = pipe.to(torch.float32)
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = samplers.build(REQUEST.sampler, REQUEST.schedule, pipe.scheduler.config)
    image = pipe(
        REQUEST.prompt,
        negative_prompt=REQUEST.negative_prompt,
        generator=torch.Generator().manual_seed(REQUEST.seed),
        width=REQUEST.width,
        height=REQUEST.height,
        num_inference_steps=REQUEST.steps,
        guidance_scale=REQUEST.guidance_scale,
    ).images[0]
    return np.array(image)


@pytest.mark.parametrize(
    ("name", "prediction"),
    [
        ("sd2-epsilon", "epsilon"),
        ("sd2-epsilon-folder", "epsilon"),
        ("sd2-v", "v_prediction"),
        ("sd2-v_prediction-folder", "v_prediction"),
    ],
)
def test_sd2_draws_what_diffusers_draws(models, name, prediction):
    assert np.array_equal(ours(models, name), raw(tiny_sd2(prediction=prediction)))


def test_both_predictions_of_sd2_draw_differently(models):
    assert not np.array_equal(ours(models, "sd2-epsilon"), ours(models, "sd2-v"))


def test_pickled_checkpoint_draws_the_picture_of_its_safetensors(models):
    assert np.array_equal(ours(models, "sd1-old"), ours(models, "sd1-new"))


def test_refiner_loads_for_pictures_and_refuses_words(models):
    with models.pipeline("refiner", "image-to-image") as loaded:
        assert loaded.pipe.config["requires_aesthetics_score"]
        assert loaded.pipe.text_encoder is None
        conditioning = Conditioner().encode(loaded.pipe, "a cat", "")
        theirs = loaded.pipe.encode_prompt("a cat", device="cpu", negative_prompt="")
    assert torch.equal(conditioning.prompt, theirs[0]) and torch.equal(conditioning.pooled, theirs[2])
    with pytest.raises(ModelFamily, match="cannot do text to image"), models.pipeline("refiner"):
        pass
