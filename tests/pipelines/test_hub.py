import pytest

from pipelines.engine.errors import ModelNotFound
from pipelines.engine.hub import download, needed
from presets.errors import UserError

ROOT = ["model_index.json", "unet/config.json", "tokenizer/merges.txt"]


@pytest.mark.parametrize(
    ("weights", "wanted"),
    [
        (["unet/diffusion_pytorch_model.safetensors", "unet/diffusion_pytorch_model.fp16.safetensors"], [0]),
        (["unet/diffusion_pytorch_model.fp16.safetensors", "unet/diffusion_pytorch_model.non_ema.safetensors"], [0]),
        (
            [
                "unet/diffusion_pytorch_model-00001-of-00002.safetensors",
                "unet/diffusion_pytorch_model-00002-of-00002.safetensors",
                "unet/diffusion_pytorch_model.safetensors.index.json",
                "unet/diffusion_pytorch_model.fp16.safetensors",
            ],
            [0, 1, 2],
        ),
        (["text_encoder/model.safetensors", "text_encoder/pytorch_model.bin"], [0]),
    ],
)
def test_one_set_of_weights_is_fetched_for_each_part(weights, wanted):
    assert needed([*ROOT, *weights]) == {*ROOT, *(weights[index] for index in wanted)}


def test_offline_hub_model_is_refused_at_once_with_a_sentence():
    with pytest.raises(UserError, match="stay offline") as caught:
        download("nobody/nothing-of-this-name", offline=True, report=print)
    assert (caught.value.code, caught.value.field) == ("E-MODEL-MISSING", "checkpoint")


def test_name_that_the_hub_cannot_have_is_not_found():
    with pytest.raises(ModelNotFound):
        download("a/b--c", offline=False, report=print)
