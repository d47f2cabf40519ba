"""Style references: the pixels of diffusers' own IP-Adapter pipelines, by every attention, and nothing left behind."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionPipeline
from PIL import Image

from pipelines.engine import policy
from pipelines.engine.catalog import EXTRAS, STARTER, Catalog
from pipelines.engine.conditioning import Conditioner
from pipelines.engine.context import Context
from pipelines.engine.errors import Cancelled, IpAdapterFamily, IpAdapterUnusable
from pipelines.engine.jobs import Progress, Saved
from pipelines.engine.manager import PipelineManager
from pipelines.runners import RUNNERS
from presets.gallery import Gallery
from presets.inputs import Inputs
from presets.references import StyleReference
from presets.requests import ImageToImage, TextToImage
from presets.settings import Settings
from tests.checkpoints import save_folder, tiny_sdxl
from tests.ip_adapters import save_encoder, save_ip_adapter, tiny_ip_adapter
from tests.pixels import pixels
from tests.raw import raw_picture

PHOTO = Image.effect_noise((80, 60), 90).convert("RGB")
OTHER = Image.radial_gradient("L").convert("RGB").resize((64, 96))
KINDS = ("plain", "plus", "full")


@pytest.fixture(scope="module")
def root(tmp_path_factory, starter_pipe):
    """Folders of models as h94/IP-Adapter is, for the starter and a tiny SDXL."""
    root = tmp_path_factory.mktemp("models")
    save_encoder(root / "ip_adapters" / "models" / "image_encoder")
    for kind in KINDS:
        save_ip_adapter(
            tiny_ip_adapter(starter_pipe.unet, kind), root / "ip_adapters" / "models" / f"{kind}.safetensors"
        )
    sdxl = tiny_sdxl()
    save_folder(sdxl, root / "checkpoints" / "xl")
    save_ip_adapter(tiny_ip_adapter(sdxl.unet), root / "ip_adapters" / "models" / "xl.bin")
    return root


def manager(root, home, **choices):
    settings = Settings(home=home, device="cpu", threads=1, dtype="float32", **choices)
    decided = policy.decide(policy.detect(settings), settings)
    return PipelineManager(Catalog((root, EXTRAS), STARTER), decided, settings), decided


@pytest.fixture(scope="module")
def models(root, tmp_path_factory):
    return manager(root, tmp_path_factory.mktemp("home"))


@pytest.fixture
def context(models, tmp_path):
    events = []
    return Context(*models, Conditioner(), Gallery(tmp_path), Inputs(tmp_path), events.append, lambda: False)


def references(context, *uses):
    """Of (IP-Adapter, picture, weight)."""
    return tuple(
        StyleReference(adapter=name, picture=context.inputs.keep(image), weight=weight) for name, image, weight in uses
    )


def asked(context, *uses, kind=TextToImage, **values):
    usual = {
        "prompt": "a red house",
        "steps": 3,
        "seed": 7,
        "width": 64,
        "height": 64,
        "references": references(context, *uses),
    }
    request = kind(**usual | values)
    return request.resolved(request.checkpoint, (64, 64))


def drawn(context, request):
    events = context.send.__self__
    events.clear()
    RUNNERS[type(request)](request, context)
    return pixels([event.path for event in events if isinstance(event, Saved)])[0]


def raw(pipe, root, request, names, weights, images, **given):
    """What diffusers' own pipeline draws."""
    pipe.set_progress_bar_config(disable=True)
    count = len(names)
    folder = root / "ip_adapters"
    pipe.load_ip_adapter([str(folder)] * count, subfolder=["models"] * count, weight_name=names)
    pipe.image_encoder.float()
    pipe.set_ip_adapter_scale(weights)
    try:
        return np.asarray(raw_picture(pipe, request, ip_adapter_image=images, **given))
    finally:
        pipe.unload_ip_adapter()


def own(starter_pipe, kind=StableDiffusionPipeline):
    parts = {
        name: part
        for name, part in starter_pipe.components.items()
        if name not in ("image_encoder", "feature_extractor")
    }
    return kind(**parts, image_encoder=None, feature_extractor=None, requires_safety_checker=False)


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_is_that_of_diffusers_own_pipeline(context, root, starter_pipe, kind):
    request = asked(context, (kind, PHOTO, 0.7), negative_prompt="blue")
    expected = raw(own(starter_pipe), root, request, [f"{kind}.safetensors"], [0.7], [PHOTO], width=64, height=64)
    plain = drawn(context, asked(context, negative_prompt="blue"))
    ours = drawn(context, request)
    assert np.array_equal(ours, expected)
    assert np.abs(ours.astype(int) - plain).mean() > 1


def test_several_references_count_each_with_its_own_adapter_and_weight(context, root, starter_pipe):
    request = asked(context, ("plain", PHOTO, 0.4), ("plus", OTHER, 0.8))
    names = ["plain.safetensors", "plus.safetensors"]
    expected = raw(own(starter_pipe), root, request, names, [0.4, 0.8], [PHOTO, OTHER], width=64, height=64)
    assert np.array_equal(drawn(context, request), expected)


def test_a_picture_is_redrawn_in_the_manner_of_another(context, root, starter_pipe):
    given = OTHER.resize((64, 64))
    request = asked(context, ("plain", PHOTO, 1), kind=ImageToImage, image=context.inputs.keep(given), strength=0.7)
    pipe = own(starter_pipe, StableDiffusionImg2ImgPipeline)
    expected = raw(pipe, root, request, ["plain.safetensors"], [1.0], [PHOTO], image=given, strength=0.7)
    assert np.array_equal(drawn(context, request), expected)


def test_sdxl_and_pickled_files(context, root):
    pipe = tiny_sdxl().to(torch.float32)
    request = asked(context, ("xl", PHOTO, 1), checkpoint="xl", negative_prompt="blue")
    expected = raw(pipe, root, request, ["xl.bin"], [1.0], [PHOTO], width=64, height=64)
    assert np.array_equal(drawn(context, request), expected)


@pytest.mark.parametrize(
    "values", [{"guidance_scale": 1.0}, {"guidance_end": 0.4}, {"count": 2}, {"hires_factor": 2.0}]
)
def test_references_count_wherever_the_unet_is_used(context, values):
    uses = [("plain", PHOTO, weight) for weight in (1.0, 0.0)]
    with_it, without = (drawn(context, asked(context, use, **values)) for use in uses)
    assert np.array_equal(without, drawn(context, asked(context, **values)))
    assert np.abs(with_it.astype(int) - without).mean() > 1


@pytest.mark.parametrize("attention", ["sliced", "sdpa"])
def test_the_attention_that_was_chosen_changes_no_more_than_rounding(context, root, tmp_path, attention):
    other = replace(
        context, **dict(zip(("models", "policy"), manager(root, tmp_path, attention=attention), strict=True))
    )
    request = asked(context, ("plus", PHOTO, 0.7))
    assert np.abs(drawn(context, request).astype(int) - drawn(other, request)).max() <= 1


def processors(models):
    with models.pipeline("") as loaded:
        return list(loaded.pipe.unet.attn_processors.values()), list(loaded.pipe.unet.state_dict())


@pytest.mark.parametrize("ending", ["end", "cancel"])
def test_no_processor_stays_behind(context, ending):
    before = processors(context.models)

    def send(event):
        if isinstance(event, Progress) and ending == "cancel":
            raise Cancelled

    try:
        RUNNERS[TextToImage](asked(context, ("plain", PHOTO, 1)), replace(context, send=send))
    except Cancelled:
        assert ending == "cancel"
    after = processors(context.models)
    assert all(one is other for one, other in zip(before[0], after[0], strict=True)) and before[1] == after[1]


def test_adapter_and_encoder_are_counted_and_stay_for_the_next_use(context):
    drawn(context, asked(context, ("plain", PHOTO, 1)))
    residents = {resident.name: resident for resident in context.models.memory().residents}
    assert residents["models/plain (IP-Adapter)"].bytes > 0
    assert residents["models/image_encoder/model (image encoder)"].bytes > 0
    events = context.send.__self__
    drawn(context, asked(context, ("plain", OTHER, 1)))
    assert not [event for event in events if event.type == "loading"]
    context.models.release()
    assert "models/plain (IP-Adapter)" not in {one.name for one in context.models.memory().residents}


def test_one_of_another_unet_is_refused_by_name_and_leaves_no_processor(context, root, starter_pipe):
    wrong = tiny_ip_adapter(starter_pipe.unet)
    wrong["ip_adapter"].pop("1.to_k_ip.weight"), wrong["ip_adapter"].pop("1.to_v_ip.weight")
    save_ip_adapter(wrong, root / "ip_adapters" / "fewer.safetensors")
    before = processors(context.models)
    with pytest.raises(
        IpAdapterFamily, match="'fewer' was made for another UNet than that of the checkpoint storybook"
    ):
        drawn(context, asked(context, ("fewer", PHOTO, 1)))
    assert processors(context.models)[0] == before[0]


def test_a_file_whose_parts_do_not_fit_together_is_told(context, root, starter_pipe):
    torn = tiny_ip_adapter(starter_pipe.unet)
    torn["image_proj"]["proj.bias"] = torch.zeros(7)
    save_ip_adapter(torn, root / "ip_adapters" / "torn.safetensors")
    with pytest.raises(IpAdapterUnusable, match="parts do not fit together"):
        drawn(context, asked(context, ("torn", PHOTO, 1)))
