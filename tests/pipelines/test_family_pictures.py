"""Pictures of every family that can be drawn: those of the raw diffusers pipeline, from folder and file."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.denoise import NoNumbers, Watch, decode, denoise
from pipelines.engine import joint_conditioning, samplers
from pipelines.engine.catalog import Catalog
from pipelines.engine.conditioning import Conditioner
from pipelines.engine.errors import BrokenPicture, ModelFamily, VaeRefused
from pipelines.engine.families import FAMILIES
from pipelines.engine.manager import PipelineManager
from pipelines.engine.policy import Hardware, decide
from pipelines.engine.preview import LatentMap, jpeg, thumbnail
from presets.errors import InvalidField
from presets.requests import TextToImage
from presets.settings import Settings
from tests.checkpoints import (
    original_layout,
    save_folder,
    save_single_file,
    save_vae,
    tiny_flux,
    tiny_refiner,
    tiny_sd1,
    tiny_sd2,
    tiny_sd3,
)

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
    for name, prefix in (("sharp", ""), ("old/first", "first_stage_model.")):
        save_vae(tiny_sd1(seed=7).vae, root / f"vae/{name}.safetensors", prefix)
    tiny_sd1(seed=7).vae.save_pretrained(root / "diffusers")
    (root / "diffusers/diffusion_pytorch_model.safetensors").rename(root / "vae/diffusers.safetensors")
    save_vae(tiny_sd3().vae, root / "vae/sixteen.safetensors", "")
    save_folder(tiny_sd3(), root / "checkpoints/sd3")
    save_folder(tiny_sd3(with_t5=False), root / "checkpoints/sd3-without-t5")
    save_folder(tiny_flux(), root / "checkpoints/flux")
    save_folder(tiny_flux(guidance=False), root / "checkpoints/flux-without-guidance")
    save_single_file(tiny_refiner(), root / "checkpoints/refiner.safetensors")
    return root


@pytest.fixture(scope="module")
def models(root):
    policy = decide(Hardware("cpu", "CPU", 2**34, 1), Settings())
    return PipelineManager(Catalog((root,), root / "checkpoints/sd2-epsilon-folder"), policy, Settings())


def ours(models, name, vae=""):
    with models.pipeline(name, vae=vae) as loaded:
        conditioning = Conditioner().encode(loaded.pipe, REQUEST.prompt, REQUEST.negative_prompt)
        latents = denoise(loaded.pipe, conditioning, REQUEST, Watch(lambda _: None))
        return np.array(decode(loaded.pipe, latents, print))


def raw(pipe):
    """What diffusers alone draws."""
    pipe = pipe.to(torch.float32)
    pipe.set_progress_bar_config(disable=True)
    if hasattr(pipe, "unet"):
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


@pytest.mark.parametrize("vae", ["sharp", "first", "diffusers"])
def test_chosen_vae_decodes_as_in_diffusers_and_the_checkpoints_own_stays(models, vae):
    pipe = tiny_sd2()
    pipe.vae = tiny_sd1(seed=7).vae
    own = ours(models, "sd2-epsilon")
    chosen = ours(models, "sd2-epsilon", vae)
    assert np.array_equal(chosen, raw(pipe))
    assert not np.array_equal(chosen, own)
    assert np.array_equal(ours(models, "sd2-epsilon"), own)


def test_vae_of_other_latents_is_refused(models):
    with pytest.raises(VaeRefused, match="16 channels, those of Stable Diffusion 2.x 4") as caught:
        ours(models, "sd2-epsilon", "sixteen")
    assert (caught.value.code, caught.value.field) == ("E-VAE", "vae")


def test_refiner_loads_for_pictures_and_refuses_words(models):
    with models.pipeline("refiner", "image-to-image") as loaded:
        assert loaded.pipe.config["requires_aesthetics_score"]
        assert loaded.pipe.text_encoder is None
        conditioning = Conditioner().encode(loaded.pipe, "a cat", "")
        theirs = loaded.pipe.encode_prompt("a cat", device="cpu", negative_prompt="")
    assert torch.equal(conditioning.prompt, theirs[0]) and torch.equal(conditioning.pooled, theirs[2])
    with pytest.raises(ModelFamily, match="cannot do text to image"), models.pipeline("refiner"):
        pass


@pytest.mark.parametrize(
    ("name", "tiny"),
    [
        ("sd3", lambda: tiny_sd3()),
        ("sd3-without-t5", lambda: tiny_sd3(with_t5=False)),
        ("flux", lambda: tiny_flux()),
        ("flux-without-guidance", lambda: tiny_flux(guidance=False)),
    ],
)
def test_transformer_families_draw_what_diffusers_draws(models, name, tiny):
    assert np.array_equal(ours(models, name), raw(tiny()))


@pytest.mark.parametrize("name", ["sd3", "flux"])
def test_a_preview_of_the_transformer_families_foresees_the_picture(models, name):
    with models.pipeline(name) as loaded:
        family = FAMILIES[loaded.model.family]
        usual = LatentMap(matrix=family.latent_to_rgb, bias=family.latent_bias)
        conditioning = Conditioner().encode(loaded.pipe, "a cat", "")
        events = []
        one_step = REQUEST.model_copy(update={"steps": 1})
        latents = denoise(loaded.pipe, conditioning, one_step, Watch(events.append, latent_map=usual))
    shown, final = (
        np.array(Image.open(io.BytesIO(content)), dtype=float)
        for content in (events[-1].preview, jpeg(thumbnail(latents, usual)))
    )
    assert shown.shape == final.shape
    assert np.abs(shown - final).mean() < 2


def test_what_a_transformer_family_cannot_follow_is_told(models):
    with models.pipeline("flux") as loaded:
        told = joint_conditioning.warnings_of(loaded.pipe, "a (red:1.5) cat" + " a" * 600, "a dog", True)
        assert joint_conditioning.warnings_of(loaded.pipe, "a cat", "", True) == []
    assert ["Weights" in told[0], "negative" in told[1], "512 tokens" in told[2]] == [True] * 3


def test_sides_are_on_the_familys_grid(root):
    catalog = Catalog((root,), root / "none")
    catalog.find("flux").check_size(128, 144)
    with pytest.raises(InvalidField, match="multiple of 16; the nearest is 128") as caught:
        catalog.find("flux").check_size(120, 128)
    assert (caught.value.field, caught.value.code) == ("width", "E-SIZE")
    catalog.find("sd1-new").check_size(120, 128)


def test_checkpoint_without_numbers_is_named_and_not_loaded_again(models, root):
    pipe = tiny_sd1()
    pipe.vae.decoder.conv_in.weight.data[:] = torch.nan
    save_single_file(pipe, root / "checkpoints/nan.safetensors")
    with models.pipeline("nan") as loaded, pytest.raises(NoNumbers) as caught:
        decode(loaded.pipe, torch.zeros(1, 4, 8, 8), print)
    error = models.broken(loaded.model, "", caught.value.parts)
    assert error.code == "E-NAN" and "'nan' are damaged: its vae holds NaN" in error.message
    with pytest.raises(BrokenPicture, match="its vae holds NaN"), models.pipeline("nan"):
        pass
