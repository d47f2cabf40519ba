"""A blend begins with the latents of all its pictures, by their shares, and is no greyer than they are."""

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.denoise import decode, encode
from pipelines.image_to_image import from_picture, mixed
from presets.images import ImageRef
from presets.requests import ImageToImage
from tests.pixels import drawn
from tests.scenes import house
from training.painter import paint
from training.words import Scene, Thing

OTHER = Image.new("RGB", (96, 64), (30, 120, 60))


def started(pipe, *blend, **values) -> torch.Tensor:
    image = ImageRef(sha256="0" * 64, width=128, height=128)
    request = ImageToImage(prompt="a", image=image, **values).resolved("", (128, 128))
    return from_picture(pipe, request, torch.Generator().manual_seed(7), house(), blend)["image"]


def alone(pipe, picture: Image.Image) -> torch.Tensor:
    return encode(pipe, picture.resize((128, 128)), torch.Generator().manual_seed(3))


def distance(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).norm())


def test_without_others_it_is_the_picture_itself(starter_pipe):
    assert torch.equal(started(starter_pipe), encode(starter_pipe, house(), torch.Generator().manual_seed(7)))


def test_shares_draw_it_towards_each_picture(starter_pipe):
    own, other = alone(starter_pipe, house()), alone(starter_pipe, OTHER)
    blends = [started(starter_pipe, (OTHER, share)) for share in (0.25, 1.0, 4.0)]
    to_own = [distance(blend, own) for blend in blends]
    to_other = [distance(blend, other) for blend in blends]
    assert to_own == sorted(to_own) and to_other == sorted(to_other, reverse=True)
    assert to_other[2] < distance(own, other) / 2 > to_own[0]


def test_what_is_mixed_is_as_large_as_its_parts_and_their_order_does_not_matter():
    parts = [torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]
    blend = mixed(parts, [1.0, 2.0, 0.5])
    sizes = [float(part.norm()) for part in parts]
    assert min(sizes) <= float(blend.norm()) <= max(sizes)
    assert torch.allclose(blend, mixed(parts[::-1], [0.5, 2.0, 1.0]), atol=1e-5)
    assert torch.equal(mixed([parts[0].half()] * 2, [1.0, 1.0]), parts[0].half())


def test_a_blend_keeps_the_contrast_that_a_mean_of_pixels_loses(starter_pipe):
    night = paint(Scene((Thing("boat", "yellow", "middle"),), "night", "sea", frozenset()), seed=3, size=128)
    blend = decode(starter_pipe, started(starter_pipe, (night, 1.0)), print)
    spread = [np.asarray(picture.convert("L")).std() for picture in (blend, Image.blend(house(), night, 0.5))]
    assert spread[0] > spread[1] * 1.1


@pytest.mark.parametrize("mode", ["crop", "latent"])
def test_pictures_of_any_size_are_mixed_in(starter_pipe, mode):
    others = [(OTHER, 1.0), (Image.new("RGB", (300, 41), "red"), 0.5)]
    assert started(starter_pipe, *others, resize_mode=mode).shape == (1, 4, 16, 16)


def test_the_engine_draws_on_the_blend_and_a_share_of_nothing_is_none(real_engine):
    image, other = real_engine.inputs.keep(house()), real_engine.inputs.keep(OTHER)
    values = {"prompt": "a house", "steps": 4, "seed": 7, "strength": 0.5, "image": image}
    plain, none, blend = (
        drawn(real_engine, ImageToImage(**values, blend=parts))
        for parts in ((), ({"picture": other, "share": 0},), ({"picture": other, "share": 2},))
    )
    assert (plain == none).all()
    assert abs(plain.astype(int) - blend).mean() > 5
