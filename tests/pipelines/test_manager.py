import shutil
import time

import pytest
import torch

from pipelines.engine.catalog import Catalog
from pipelines.engine.errors import Cancelled, LoraFamily, LoraNotFound, ModelCorrupt, ModelNotFound, OutOfMemory
from pipelines.engine.manager import PipelineManager
from pipelines.engine.policy import Hardware, decide
from presets.drawing import LoraUse
from presets.settings import Settings
from tests.checkpoints import save_folder, tiny_sd1
from tests.loras import of_sd1, save_lora
from tests.safetensors_files import write_safetensors


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "tiny"
    return save_folder(tiny_sd1(), folder)


@pytest.fixture
def root(tmp_path, made):
    for number, name in enumerate("abc"):
        shutil.copytree(made, tmp_path / "checkpoints" / name)
        change_weights(tmp_path / "checkpoints" / name, number)
    return tmp_path


def change_weights(folder, number):
    """Make the last weight of each component another one."""
    for path in folder.glob("*/*.safetensors"):
        with path.open("r+b") as file:
            file.seek(-2, 2)
            file.write(bytes([number, 0]))


def manager(root, models_that_fit=10.0):
    one = 18_750_356
    settings = Settings(memory_budget=int(one * models_that_fit))
    policy = decide(Hardware("cpu", "CPU", 2**34, 1), settings)
    return PipelineManager(Catalog((root,), root / "checkpoints/a"), policy, settings)


def unet(models, name, **options):
    with models.pipeline(name, **options) as loaded:
        return loaded.pipe.unet


def test_pipeline_is_ready_to_run_and_quiet(root, capfd):
    with manager(root).pipeline("") as loaded:
        capfd.readouterr()
        image = loaded.pipe("a cat", num_inference_steps=1, width=32, height=32).images[0]
    assert image.size == (32, 32)
    assert loaded.pipe.safety_checker is None
    assert loaded.model.name == "storybook"
    assert "%|" not in capfd.readouterr().err


def test_second_use_and_second_task_share_the_components(root):
    models = manager(root)
    first = unet(models, "a")
    loaded = models.bytes_loaded
    assert unet(models, "a", task="image-to-image") is first
    assert unet(models, "a", task="inpaint") is first
    assert models.bytes_loaded == loaded
    with models.pipeline("a") as again:
        assert again.switch.how == "resident"
        assert again.switch.seconds < 0.1


def test_bytes_are_counted_as_they_lie_in_memory(root):
    models = manager(root)
    components = unet(models, "a")
    assert models.bytes_loaded > 4 * sum(parameter.numel() for parameter in components.parameters())
    assert models.bytes_loaded == pytest.approx(18_750_356, rel=0.01)


def test_least_recently_used_leaves_first(root):
    models = manager(root, models_that_fit=2.5)
    a, b = unet(models, "a"), unet(models, "b")
    assert unet(models, "a") is a
    unet(models, "c")
    assert unet(models, "a") is a
    assert unet(models, "b") is not b


def test_memory_keeps_to_the_budget(root):
    models = manager(root, models_that_fit=2.5)
    for name in ("a", "b", "c", "a", "c", "b"):
        unet(models, name)
        assert models.bytes_loaded <= 2.5 * 18_750_356


def test_what_is_in_use_stays_whatever_the_budget(root):
    models = manager(root, models_that_fit=1.2)
    with models.pipeline("a") as outer:
        unet(models, "b")
        assert unet(models, "a") is outer.pipe.unet
    assert unet(models, "a") is outer.pipe.unet


def test_model_larger_than_the_budget_is_kept_until_another_comes(root):
    models = manager(root, models_that_fit=0.1)
    a = unet(models, "a")
    assert unet(models, "a") is a
    unet(models, "b")
    assert unet(models, "a") is not a


@pytest.mark.parametrize(
    ("name", "error"), [("nothing", ModelNotFound), ("broken", ModelCorrupt), ("torn", ModelCorrupt)]
)
def test_failed_load_leaves_the_old_model_usable(root, name, error):
    (root / "checkpoints/broken.safetensors").write_bytes(b"<html>")
    shutil.copytree(root / "checkpoints/a", root / "checkpoints/torn")
    write_safetensors(root / "checkpoints/torn/vae/diffusion_pytorch_model.safetensors", {"x": (3,)})
    models = manager(root, models_that_fit=1)
    a = unet(models, "a")
    with pytest.raises(error):
        unet(models, name)
    assert unet(models, "a") is a


def test_load_that_is_cancelled_leaves_the_old_model_usable(root):
    models = manager(root, models_that_fit=1)
    a = unet(models, "a")

    def cancel(_event):
        raise Cancelled

    with pytest.raises(Cancelled):
        unet(models, "b", report=cancel)
    assert unet(models, "a") is a


def test_error_inside_a_use_unpins_the_model(root):
    models = manager(root)
    with pytest.raises(ZeroDivisionError), models.pipeline("a"):
        raise ZeroDivisionError
    models.release()
    assert models.bytes_loaded == 0


def test_model_deleted_after_listing_is_missing_and_others_work(root):
    models = manager(root)
    shutil.rmtree(root / "checkpoints/b")
    with pytest.raises(ModelNotFound):
        unet(models, "b")
    unet(models, "c")


def test_changed_files_are_loaded_again_and_the_old_ones_forgotten(root):
    models = manager(root)
    old = unet(models, "b")
    loaded = models.bytes_loaded
    time.sleep(0.02)
    save_folder(tiny_sd1(seed=1), root / "checkpoints/b")
    new = unet(models, "b")
    assert not old.conv_in.weight.equal(new.conv_in.weight)
    assert models.bytes_loaded == loaded


def test_checkpoints_that_share_parts_hold_them_once(root):
    for part in ("vae", "text_encoder"):
        shutil.copytree(root / "checkpoints/a" / part, root / "checkpoints/b" / part, dirs_exist_ok=True)
    models = manager(root)
    with models.pipeline("a") as a, models.pipeline("b") as b:
        assert a.pipe.vae is b.pipe.vae and a.pipe.text_encoder is b.pipe.text_encoder
        assert a.pipe.unet is not b.pipe.unet
    memory = models.memory()
    assert sum(resident.bytes for resident in memory.residents) == pytest.approx(memory.tiers[0].used_bytes, abs=10)
    assert memory.tiers[0].used_bytes < 1.5 * 18_750_356


def test_memory_report_says_what_is_where(root):
    models = manager(root)
    assert models.memory().residents == ()
    unet(models, "b")
    with models.pipeline("a"):
        first, second = models.memory().residents
    assert (first.name, first.tier, first.pinned, first.kept) == ("a", "ram", True, False)
    assert (second.name, second.pinned) == ("b", False)
    assert second.switch_seconds > 0
    (tier,) = models.memory().tiers
    assert (tier.name, tier.budget_bytes) == ("ram", 187_503_560)


def test_use_says_what_it_waited_for(root):
    models = manager(root)
    with models.pipeline("b") as loaded:
        assert loaded.switch.how == "from disk" and loaded.switch.seconds > 0
    with models.pipeline("b") as loaded:
        assert loaded.switch.how == "resident"


def test_loaded_model_is_ready_kept_until_it_is_not_and_unloaded(root):
    models = manager(root, models_that_fit=1.2)
    models.load("b")
    models.keep("b", True)
    b = unet(models, "b")
    unet(models, "c")
    assert unet(models, "b") is b
    models.keep("b", False)
    unet(models, "c")
    assert unet(models, "b") is not b
    models.unload("b")
    assert models.memory().residents == ()
    models.unload("b")


def test_more_than_the_budget_is_not_kept(root):
    models = manager(root, models_that_fit=1.5)
    models.load("b")
    models.keep("b", True)
    models.load("c")
    with pytest.raises(OutOfMemory, match="c cannot be kept"):
        models.keep("c", True)
    with pytest.raises(ModelNotFound):
        models.keep("nothing", True)


def test_model_whose_files_are_gone_can_be_unloaded(root):
    models = manager(root)
    models.load("b")
    shutil.rmtree(root / "checkpoints/b")
    models.unload("b")
    assert models.memory().residents == ()


def test_reading_ahead_never_fails(root):
    models = manager(root)
    for name in ("b", "nothing", "../x", "owner/model"):
        models.read_ahead(name)


def test_unknown_lora_is_named_with_the_nearest(root):
    write_safetensors(root / "loras/pixel-art.safetensors", {})
    with pytest.raises(LoraNotFound, match="pixel-art"):
        unet(manager(root), "a", loras=(LoraUse(name="pixelart"),))


def test_loras_stand_on_the_components_during_the_use_only(root):
    save_lora(root, "ink", of_sd1(tiny_sd1()))
    models = manager(root)
    with models.pipeline("a") as plain:
        weights = plain.pipe.unet.mid_block.attentions[0].proj_in
        before = {name: tensor.clone() for name, tensor in plain.pipe.unet.state_dict().items()}
    with models.pipeline("a", loras=(LoraUse(name="ink"),)) as loaded:
        changed = [name for name, tensor in loaded.pipe.unet.state_dict().items() if not tensor.equal(before[name])]
        assert loaded.pipe.unet.mid_block.attentions[0].proj_in is weights
        assert loaded.adapters.encoders and any("to_q" in name for name in changed)
    assert all(tensor.equal(before[name]) for name, tensor in loaded.pipe.unet.state_dict().items())


def test_what_is_kept_for_loras_counts_and_goes_before_a_checkpoint_does(root):
    save_lora(root, "ink", of_sd1(tiny_sd1()))
    models = manager(root, models_that_fit=2.01)
    unet(models, "a", loras=(LoraUse(name="ink"),))
    assert models.bytes_loaded > 18_750_356 * 1.01
    assert sum(resident.bytes for resident in models.memory().residents) == pytest.approx(18_750_356, rel=0.01)
    unet(models, "b", loras=(LoraUse(name="ink"),))
    assert {resident.name for resident in models.memory().residents} == {"a", "b"}
    assert models.bytes_loaded == pytest.approx(2 * 18_750_356, rel=0.01)


def test_a_lora_that_is_refused_leaves_the_model_unpinned_and_usable(root):
    save_lora(root, "bad", {"lora_te1_x.diff": torch.ones(1), "lora_te2_x.diff": torch.ones(1)})
    models = manager(root)
    with pytest.raises(LoraFamily):
        unet(models, "a", loras=(LoraUse(name="bad"),))
    models.release()
    assert models.bytes_loaded == 0
    unet(models, "a")
