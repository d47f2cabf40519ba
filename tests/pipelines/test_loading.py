import numpy
import pytest
import torch
from diffusers import EulerDiscreteScheduler
from safetensors.torch import load_file, save_file
from transformers import CLIPTokenizer

from pipelines.engine.catalog import Catalog
from pipelines.engine.errors import Cancelled, ModelCorrupt
from pipelines.engine.families import CONFIGS, FAMILIES
from pipelines.engine.jobs import Loading
from pipelines.engine.loading import _empty, class_of, load
from pipelines.engine.manager import PipelineManager
from pipelines.engine.policy import Hardware, decide
from pipelines.engine.single_file import base_config
from presets.errors import UserError
from presets.settings import Settings
from tests.checkpoints import save_folder, save_single_file, tiny_refiner, tiny_sd1, tiny_sd2, tiny_sdxl

POLICY = decide(Hardware("cpu", "CPU", 2**34, 1), Settings())
PARAMETERS = {
    ("sd1", "unet"): 859_520_964,
    ("sd1", "vae"): 83_653_863,
    ("sd1", "text_encoder"): 123_060_480,
    ("sd2", "unet"): 865_910_724,
    ("sd2", "text_encoder"): 340_387_840,
    ("sdxl", "unet"): 2_567_463_684,
    ("sdxl", "vae"): 83_653_863,
    ("sdxl", "text_encoder"): 123_060_480,
    ("sdxl", "text_encoder_2"): 694_659_840,
}


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    checkpoints = tmp_path_factory.mktemp("models") / "checkpoints"
    tiny = {"sd1": tiny_sd1(), "sd2": tiny_sd2(), "sdxl": tiny_sdxl(), "sdxl-refiner": tiny_refiner()}
    for name, pipe in tiny.items():
        save_folder(pipe, checkpoints / f"{name}-folder")
        save_single_file(pipe, checkpoints / f"{name}-file.safetensors")
    save_single_file(tiny_sdxl(), checkpoints / "v.safetensors", v_pred=torch.zeros(0), ztsnr=torch.zeros(0))
    return Catalog((checkpoints.parent,), checkpoints / "sd1-folder")


def picture(catalog, name):
    with PipelineManager(catalog, POLICY, Settings()).pipeline(name) as loaded:
        pipe = loaded.pipe
        pipe.scheduler = EulerDiscreteScheduler.from_config(pipe.scheduler.config)
        generator = torch.Generator().manual_seed(3)
        result = pipe("a cat", width=48, height=32, num_inference_steps=2, generator=generator, output_type="np")
    return result.images[0]


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_single_file_gives_the_same_picture_as_the_folder(catalog, family):
    folder, file = picture(catalog, f"{family}-folder"), picture(catalog, f"{family}-file")
    assert folder.std() > 0.01
    assert numpy.array_equal(folder, file)


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl", "sdxl-refiner"])
def test_single_file_gives_the_configs_of_the_folder(catalog, family):
    folder, file = (load(catalog.find(f"{family}-{layout}"), POLICY, print) for layout in ("folder", "file"))
    for part in set(FAMILIES[family].components) - {"tokenizer", "tokenizer_2", "scheduler"}:
        assert _architecture(file[part]) == _architecture(folder[part])


def _architecture(component):
    config = component.config if isinstance(component.config, dict) else component.config.to_dict()
    names = ("block_out_channels", "down_block_types", "cross_attention_dim", "attention_head_dim", "hidden_size")
    names += ("hidden_act", "num_hidden_layers", "projection_dim", "addition_time_embed_dim", "scaling_factor")
    return {name: list(value) if isinstance(value, tuple) else value for name in names if (value := config.get(name))}


@pytest.mark.parametrize(("family", "part"), PARAMETERS)
def test_base_configs_describe_the_full_size_models(family, part):
    component = _empty(class_of(FAMILIES[family], part), base_config(FAMILIES[family].configs / part / "config.json"))
    assert sum(parameter.numel() for parameter in component.parameters()) == PARAMETERS[family, part]


def test_tokenizer_gives_clips_own_numbers():
    tokenizer = CLIPTokenizer.from_pretrained(CONFIGS / "clip")
    assert tokenizer("a photo of a cat").input_ids == [49406, 320, 1125, 539, 320, 2368, 49407]
    assert (len(tokenizer), tokenizer.model_max_length, tokenizer.pad_token_id) == (49408, 77, 49407)


def test_second_tokenizer_of_sdxl_pads_with_an_exclamation_mark(catalog):
    components = load(catalog.find("sdxl-file"), POLICY, print)
    assert components["tokenizer"].pad_token_id == 49407
    assert components["tokenizer_2"].pad_token_id == 0


def test_weights_come_in_the_policys_precision(catalog):
    small = decide(Hardware("cpu", "CPU", 2**34, 1), Settings(dtype="bfloat16"))
    for name in ("sd1-folder", "sd1-file"):
        components = load(catalog.find(name), small, print)
        assert {tensor.dtype for tensor in components["unet"].parameters()} == {torch.bfloat16}
        assert not any(tensor.requires_grad for tensor in components["vae"].parameters())


def test_v_prediction_marked_in_a_file_reaches_the_scheduler(catalog):
    scheduler = load(catalog.find("v"), POLICY, print)["scheduler"]
    assert scheduler.config["prediction_type"] == "v_prediction"
    assert scheduler.config["rescale_betas_zero_snr"]


@pytest.mark.parametrize("layout", ["folder", "file"])
def test_loading_tells_its_parts_and_can_be_stopped_at_each(catalog, layout):
    told = []

    def report(event):
        told.append(event)
        if len(told) == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        load(catalog.find(f"sd1-{layout}"), POLICY, report)
    assert all(isinstance(event, Loading) and 0 <= event.fraction <= 1 for event in told)


@pytest.mark.parametrize("missing", ["input_blocks.1.0.in_layers.0.weight", "middle_block.1.proj_in.weight"])
def test_file_that_lacks_tensors_is_corrupt(tmp_path, missing):
    path = save_single_file(tiny_sd1(), tmp_path / "checkpoints/holes.safetensors")
    tensors = load_file(path)
    del tensors[f"model.diffusion_model.{missing}"]
    save_file(tensors, path)
    catalog = Catalog((tmp_path,), tmp_path / "none")
    with pytest.raises(ModelCorrupt):
        load(catalog.find("holes"), POLICY, print)


def test_folder_whose_weights_do_not_fit_its_config_is_corrupt(tmp_path):
    save_folder(tiny_sd1(), tmp_path / "checkpoints/a")
    save_folder(tiny_sd1(width=96), tmp_path / "other")
    weights = "unet/diffusion_pytorch_model.safetensors"
    (tmp_path / "other" / weights).replace(tmp_path / "checkpoints/a" / weights)
    with pytest.raises(ModelCorrupt):
        load(Catalog((tmp_path,), tmp_path / "none").find("a"), POLICY, print)


@pytest.mark.parametrize("layout", ["folder", "file"])
def test_loaded_weights_do_not_change_when_the_file_is_overwritten(tmp_path, layout):
    path = tmp_path / "checkpoints" / ("a" if layout == "folder" else "a.safetensors")
    pipe = tiny_sd1().to(torch.float32)
    save_folder(pipe, path) if layout == "folder" else save_single_file(pipe, path)
    components = load(Catalog((tmp_path,), tmp_path / "none").find("a"), POLICY, print)
    for file in [path] if path.is_file() else path.glob("*/*.safetensors"):
        with file.open("r+b") as stream:
            stream.write(b"\0" * file.stat().st_size)
    for part in ("unet", "vae", "text_encoder"):
        for name, tensor in getattr(pipe, part).state_dict().items():
            assert tensor.equal(components[part].state_dict()[name])


@pytest.mark.parametrize(
    ("layout", "file"),
    [
        ("folder", "scheduler/scheduler_config.json"),
        ("folder", "vae/config.json"),
        ("folder", "vae/diffusion_pytorch_model.safetensors"),
        ("file", ""),
    ],
)
def test_file_that_vanishes_while_it_is_loaded_is_named(tmp_path, layout, file):
    path = tmp_path / "checkpoints" / ("a" if layout == "folder" else "a.safetensors")
    save_folder(tiny_sd1(), path) if layout == "folder" else save_single_file(tiny_sd1(), path)
    model = Catalog((tmp_path,), tmp_path / "none").find("a")
    gone = path / file
    if layout == "file":
        gone.unlink()
    with pytest.raises(UserError, match=f"'{gone.name}' is no longer there") as caught:
        load(model, POLICY, lambda _: gone.unlink(missing_ok=True))
    assert caught.value.code == "E-MODEL-MISSING"


def test_lack_of_memory_is_not_called_corrupt(catalog):
    with pytest.raises(RuntimeError, match="allocate memory"):
        load(catalog.find("sd1-folder"), POLICY, lambda _: torch.empty(2**48, dtype=torch.uint8))
