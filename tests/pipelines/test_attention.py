"""The attention of a use: other processors in between, the same ones afterwards."""

import numpy as np
import pytest
import torch
from diffusers.models.attention_dispatch import _AttentionBackendRegistry as backends

from pipelines.engine.attention import attending
from tests.checkpoints import tiny_flux, tiny_sd1, tiny_sd3


def processors(denoiser):
    return [module.processor for module in denoiser.modules() if hasattr(module, "processor")]


@pytest.mark.parametrize(
    ("attention", "name"), [("xformers", "XFormersAttnProcessor"), ("sliced", "SlicedAttnProcessor")]
)
def test_a_unet_has_the_chosen_processors_in_between_and_its_own_afterwards(attention, name):
    unet = tiny_sd1().unet
    before = processors(unet)
    with attending(unet, attention) as given:
        assert {type(processor).__name__ for processor in processors(unet)} == {name}
    assert given == attention
    assert all(one is other for one, other in zip(before, processors(unet), strict=True))


def test_an_error_leaves_no_processor_behind():
    unet = tiny_sd1().unet
    before = processors(unet)
    with pytest.raises(ZeroDivisionError), attending(unet, "sliced"):
        raise ZeroDivisionError
    assert processors(unet) == before


def test_a_transformer_is_given_xformers_by_its_processors_or_by_diffusers_dispatch():
    with attending(tiny_sd3().transformer, "xformers") as given:
        assert given == "xformers"
    before = backends.get_active_backend()
    with attending(tiny_flux().transformer, "xformers") as given:
        assert (given, backends.get_active_backend()[0]) == ("xformers", "xformers")
    assert backends.get_active_backend() == before


def test_what_an_architecture_cannot_be_given_is_not_claimed():
    with attending(tiny_flux().transformer, "sliced") as given:
        assert given == "sdpa"


def test_sliced_attention_computes_the_same():
    unet = tiny_sd1().unet.float()
    arguments = torch.randn(2, 4, 16, 16), 500, torch.randn(2, 77, 64)
    with torch.no_grad():
        expected = unet(*arguments).sample
        with attending(unet, "sliced"):
            sliced = unet(*arguments).sample
        again = unet(*arguments).sample
    assert np.allclose(sliced, expected, atol=1e-4) and torch.equal(again, expected)
