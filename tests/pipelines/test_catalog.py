import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipelines.engine.catalog import Catalog
from pipelines.engine.errors import (
    BrokenPicture,
    ModelCorrupt,
    ModelFamily,
    ModelNotFound,
    ModelUnsafe,
    VaeNotFound,
    VaeRefused,
)
from pipelines.engine.families import FAMILIES
from presets.errors import UserError
from tests.safetensors_files import SD1, SD2, SDXL, write_folder, write_json, write_safetensors


@pytest.fixture
def checkpoints(tmp_path):
    folder = tmp_path / "models/checkpoints"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def catalog(tmp_path, checkpoints):
    return Catalog((checkpoints.parent,), write_folder(tmp_path / "starter"))


def names(catalog):
    return [model.name for model in catalog.list()]


def age(path, seconds=60):
    os.utime(path, (time.time() - seconds,) * 2)


def test_starter_is_alone_and_the_default_where_there_is_nothing_else(catalog):
    assert names(catalog) == ["storybook"]
    assert catalog.find("").name == "storybook"


def test_starter_is_listed_where_the_folders_do_not_exist(tmp_path):
    assert names(Catalog((tmp_path / "nowhere",), write_folder(tmp_path / "starter"))) == ["storybook"]


def test_folder_tells_its_native_size_prediction_and_parameters(catalog):
    model = catalog.find("storybook")
    assert (model.family, model.layout, model.native_size) == ("sd1", "folder", (128, 128))
    assert (model.prediction, model.parameters) == ("v_prediction", 16 * 4 * 9)


def test_files_and_folders_are_listed_by_their_path_without_suffix(catalog, checkpoints):
    write_safetensors(checkpoints / "zebra.safetensors", SD1)
    write_safetensors(checkpoints / "real/Photo.v2.safetensors", SDXL)
    write_folder(checkpoints / "drawn/ink")
    assert names(catalog) == ["storybook", "drawn/ink", "real/Photo.v2", "zebra"]


def test_single_files_have_their_familys_native_size(catalog, checkpoints):
    write_safetensors(checkpoints / "small.safetensors", SD1)
    write_safetensors(checkpoints / "large.safetensors", SDXL)
    found = {model.name: (model.family, model.native_size) for model in catalog.list()}
    assert found["small"] == ("sd1", (512, 512))
    assert found["large"] == ("sdxl", (1024, 1024))


def test_name_is_found_in_any_case_and_by_its_last_part(catalog, checkpoints):
    write_safetensors(checkpoints / "real/Photo.safetensors", SD1)
    for given in ("real/Photo", "REAL/photo", "photo", "Photo.safetensors"):
        assert catalog.find(given).name == "real/Photo"


def test_last_part_that_two_share_is_not_guessed(catalog, checkpoints):
    write_safetensors(checkpoints / "a/photo.safetensors", SD1)
    write_safetensors(checkpoints / "b/photo.safetensors", SD1)
    with pytest.raises(ModelNotFound, match="a/photo"):
        catalog.find("photo")


def test_names_are_unique_across_roots_and_layouts(tmp_path, checkpoints):
    other = tmp_path / "more"
    write_safetensors(checkpoints / "photo.safetensors", SD1)
    write_folder(checkpoints / "Photo")
    write_safetensors(other / "checkpoints/photo.safetensors", SD1)
    write_safetensors(checkpoints / "storybook.safetensors", SD1)
    catalog = Catalog((checkpoints.parent, other), write_folder(tmp_path / "starter"))
    found = names(catalog)
    assert len({name.lower() for name in found}) == len(found) == 5
    assert found[0] == "storybook"
    assert all(catalog.find(name).name == name for name in found)


def test_missing_name_gets_the_nearest(catalog, checkpoints):
    write_safetensors(checkpoints / "dreamshaper.safetensors", SD1)
    with pytest.raises(ModelNotFound, match="Did you mean 'dreamshaper'") as caught:
        catalog.find("dreamshapr")
    assert (caught.value.code, caught.value.field) == ("E-MODEL-MISSING", "checkpoint")


def test_file_deleted_after_listing_is_missing(catalog, checkpoints):
    path = write_safetensors(checkpoints / "gone.safetensors", SD1)
    assert "gone" in names(catalog)
    path.unlink()
    assert "gone" not in names(catalog)
    with pytest.raises(ModelNotFound):
        catalog.find("gone")


def test_owner_and_name_is_a_model_of_the_hub(catalog):
    model = catalog.find("stabilityai/stable-diffusion-xl-base-1.0")
    assert (model.layout, model.path, model.native_size) == ("hub", None, (1024, 1024))


def test_mistyped_name_in_a_listed_folder_is_not_asked_of_the_hub(catalog, checkpoints):
    write_safetensors(checkpoints / "real/photo.safetensors", SD1)
    with pytest.raises(ModelNotFound, match="real/photo"):
        catalog.find("real/photoo")


@pytest.mark.parametrize("name", ["../secret", "a/../../secret", "/etc/passwd", "..\\secret"])
def test_name_that_looks_like_a_path_is_refused(catalog, name):
    with pytest.raises(UserError) as caught:
        catalog.find(name)
    assert caught.value.code == "E-MODEL-PATH"


@pytest.mark.parametrize("content", [b"", b"\0" * 999, b"<html>", b"version https://git-lfs.github.com/spec/v1"])
def test_broken_file_is_not_listed_and_says_why(catalog, checkpoints, content):
    path = checkpoints / "broken.safetensors"
    path.write_bytes(content)
    assert names(catalog) == ["storybook"]
    assert [problem.path for problem in catalog.problems()] == [path]
    with pytest.raises(ModelCorrupt) as caught:
        catalog.find("broken")
    assert (caught.value.code, caught.value.message) == ("E-MODEL-CORRUPT", catalog.problems()[0].sentence)


def test_file_that_grows_is_still_being_copied_then_truncated_then_whole(catalog, checkpoints):
    path = write_safetensors(checkpoints / "new.safetensors", SD1)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelCorrupt, match="still being copied"):
        catalog.find("new")
    age(path)
    with pytest.raises(ModelCorrupt, match="cut off"):
        catalog.find("new")
    path.write_bytes(whole)
    assert catalog.find("new").family == "sd1"


@pytest.mark.parametrize(
    ("shapes", "sentence"),
    [
        (
            {"lora_unet_x_attn2_to_k.lora_down.weight": (4, 768)},
            "a LoRA for Stable Diffusion 1.x: move it to the loras",
        ),
        ({"lora_unet_x_attn2_to_k.lora_down.weight": (4, 2048)}, "a LoRA for SDXL: move it to the loras"),
        ({"encoder.conv_in.weight": (8, 3, 3, 3), "decoder.conv_in.weight": (8, 4, 3, 3)}, "a VAE: move it"),
        ({"control_model.input_hint_block.0.weight": (4, 3)}, "a ControlNet: move it"),
        ({"emb_params": (2, 768)}, "a textual inversion embedding: move it"),
        ({"model.layers.0.self_attn.q_proj.weight": (4, 4)}, "a language model: "),
        ({"down_blocks.0.resnets.0.time_emb_proj.weight": (4, 4)}, "copy the whole folder"),
        ({"double_blocks.0.img_attn.qkv.weight": (4, 4)}, "Flux"),
        ({"something.else": (4,)}, "does not know"),
        ({**SD1, "model.diffusion_model.input_blocks.0.0.weight": (8, 6, 3, 3)}, "6 input channels"),
        ({**SD2, "model.diffusion_model.input_blocks.0.0.weight": (8, 5, 3, 3)}, "a depth-to-image checkpoint"),
        ({**SD2, "model.diffusion_model.label_emb.0.0.weight": (8, 8)}, "a Stable unCLIP checkpoint"),
        ({**SDXL, "edm_mean": (4,)}, "a Playground v2.5 checkpoint"),
        ({"model.diffusion_model.double_blocks.0.x": (1,)}, "a Flux.1 model in one file: the tokenizer of its T5"),
        ({"model.diffusion_model.joint_blocks.0.x": (1,)}, "a Stable Diffusion 3.x model in one file"),
        ({"model.diffusion_model.input_blocks.0.0.weight": (1,)}, "without its text encoder"),
    ],
)
def test_file_of_another_kind_is_told_what_it_is_and_where_it_belongs(catalog, checkpoints, shapes, sentence):
    write_safetensors(checkpoints / "other.safetensors", shapes)
    with pytest.raises(ModelFamily, match=sentence) as caught:
        catalog.find("other")
    assert caught.value.code == "E-MODEL-FAMILY"
    assert names(catalog) == ["storybook"]


def test_folder_of_another_family_is_refused(catalog, checkpoints):
    write_folder(checkpoints / "film", class_name="WanPipeline")
    with pytest.raises(ModelFamily, match="a folder for 'WanPipeline'"):
        catalog.find("film")


def test_folder_with_a_broken_part_is_corrupt(catalog, checkpoints):
    folder = write_folder(checkpoints / "half")
    (folder / "vae/diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(ModelCorrupt, match="no weights in vae"):
        catalog.find("half")
    (folder / "unet/config.json").write_text("[")
    with pytest.raises(ModelCorrupt, match="unet/config.json is no JSON object"):
        catalog.find("half")


def test_folder_without_a_tokenizer_is_corrupt(catalog, checkpoints):
    tokenizer = write_folder(checkpoints / "mute", class_name="StableDiffusionXLPipeline") / "tokenizer_2"
    (tokenizer / "tokenizer.json").rename(tokenizer / "vocab.json")
    with pytest.raises(ModelCorrupt, match="tokenizer_2/ holds neither"):
        catalog.find("mute")
    (tokenizer / "merges.txt").touch()
    assert catalog.find("mute").family == "sdxl"


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("model_index.json", "7"),
        ("model_index.json", "{}"),
        ("unet/config.json", '{"sample_size": "x", "in_channels": "y"}'),
        ("scheduler/scheduler_config.json", "[" * 100_000),
        ("unet/diffusion_pytorch_model.safetensors.index.json", '{"weight_map": [1]}'),
        ("unet/diffusion_pytorch_model.safetensors.index.json", '{"weight_map": {"a": "../../../secret"}}'),
        ("vae/config.json", "\0\0\0"),
        ("model_index.json", '{"_class_name": "\\ud800"}'),
        ("unet/config.json", '{"in_channels": "\\ud800"}'),
        ("unet/diffusion_pytorch_model.safetensors.index.json", '{"weight_map": {"a": "nul\\u0000.safetensors"}}'),
        ("unet/diffusion_pytorch_model.safetensors.index.json", '{"weight_map": {"a": "\\ud800.safetensors"}}'),
    ],
)
def test_folder_with_nonsense_in_its_texts_is_refused(catalog, checkpoints, file, content):
    folder = write_folder(checkpoints / "odd")
    if "index.json" in file:
        (folder / "unet/diffusion_pytorch_model.safetensors").unlink(missing_ok="unet" in file)
    (folder / file).write_text(content)
    assert names(catalog) == ["storybook"]
    with pytest.raises(UserError) as caught:
        catalog.find("odd")
    assert caught.value.message.encode()


@pytest.mark.parametrize("size", ["x", 10**12, [1, 2, 3], -4, None, True, 4, 1000])
def test_folder_with_a_senseless_size_has_its_familys(catalog, checkpoints, size):
    write_folder(checkpoints / "odd", unet={"sample_size": size})
    assert catalog.find("odd").native_size == (512, 512)


def test_folder_may_be_wider_than_high(catalog, checkpoints):
    write_folder(checkpoints / "wide", unet={"sample_size": [16, 32]})
    assert catalog.find("wide").native_size == (256, 128)


def test_pickled_weights_of_folders_are_never_opened(catalog, checkpoints):
    folder = write_folder(checkpoints / "bin")
    (folder / "vae/diffusion_pytorch_model.safetensors").rename(folder / "vae/diffusion_pytorch_model.bin")
    with pytest.raises(ModelUnsafe, match="convert"):
        catalog.find("bin")


def test_weights_in_parts_are_counted_together(catalog, checkpoints):
    unet = write_folder(checkpoints / "parts") / "unet"
    (unet / "diffusion_pytorch_model.safetensors").unlink()
    for number in (1, 2):
        write_safetensors(unet / f"part-{number}.safetensors", {f"weight_{number}": (10,)})
    index = {"weight_map": {"weight_1": "part-1.safetensors", "weight_2": "part-2.safetensors"}}
    write_json(unet / "diffusion_pytorch_model.safetensors.index.json", index)
    assert catalog.find("parts").parameters == 20


def test_links_that_leave_the_roots_are_not_listed(tmp_path, catalog, checkpoints):
    outside = write_safetensors(tmp_path / "outside/secret.safetensors", SD1)
    (checkpoints / "link.safetensors").symlink_to(outside)
    (checkpoints / "folder").symlink_to(outside.parent)
    assert names(catalog) == ["storybook"]
    with pytest.raises(UserError, match="leads out") as caught:
        catalog.find("link")
    assert caught.value.code == "E-MODEL-PATH"


def test_links_are_followed_into_a_folder_that_was_named_as_a_root(tmp_path, checkpoints):
    outside = write_safetensors(tmp_path / "disk/checkpoints/big.safetensors", SD1)
    (checkpoints / "link.safetensors").symlink_to(outside)
    catalog = Catalog((checkpoints.parent, tmp_path / "disk"), write_folder(tmp_path / "starter"))
    assert names(catalog) == ["storybook", "big", "link"]


def test_folder_whose_weights_are_a_link_outside_is_not_listed(tmp_path, catalog, checkpoints):
    weights = write_folder(checkpoints / "sly") / "unet/diffusion_pytorch_model.safetensors"
    weights.replace(tmp_path / "outside.safetensors")
    weights.symlink_to(tmp_path / "outside.safetensors")
    assert names(catalog) == ["storybook"]


def test_hard_link_to_a_file_outside_is_not_listed(tmp_path, catalog, checkpoints):
    outside = write_safetensors(tmp_path / "outside/secret.safetensors", SD1)
    (checkpoints / "link.safetensors").hardlink_to(outside)
    write_safetensors(checkpoints / "plain.safetensors", SD1)
    assert names(catalog) == ["storybook", "plain"]
    with pytest.raises(UserError, match="hard link") as caught:
        catalog.find("link")
    assert caught.value.code == "E-MODEL-PATH"


def test_hard_links_within_the_roots_are_listed(tmp_path, checkpoints):
    first = write_safetensors(tmp_path / "disk/checkpoints/big.safetensors", SD1)
    (checkpoints / "link.safetensors").hardlink_to(first)
    (checkpoints / "again.safetensors").hardlink_to(first)
    catalog = Catalog((checkpoints.parent, tmp_path / "disk"), write_folder(tmp_path / "starter"))
    assert names(catalog) == ["storybook", "again", "big", "link"]


def test_links_in_a_circle_end(catalog, checkpoints):
    write_safetensors(checkpoints / "a/photo.safetensors", SD1)
    (checkpoints / "a/again").symlink_to(checkpoints)
    (checkpoints / "self.safetensors").symlink_to("self.safetensors")
    assert names(catalog)[:2] == ["storybook", "a/photo"]


def test_fifo_and_device_are_neither_opened_nor_listed(catalog, checkpoints):
    os.mkfifo(checkpoints / "pipe.safetensors")
    (checkpoints / "null.safetensors").symlink_to("/dev/zero")
    assert names(catalog) == ["storybook"]
    with pytest.raises(UserError, match="no regular file"):
        catalog.find("pipe")


@pytest.mark.parametrize("file", ["model_index.json", "vae/diffusion_pytorch_model.safetensors"])
def test_fifo_inside_a_folder_is_not_waited_for(catalog, checkpoints, file):
    path = write_folder(checkpoints / "odd") / file
    path.unlink()
    os.mkfifo(path)
    assert names(catalog) == ["storybook"]
    with pytest.raises(UserError):
        catalog.find("odd")


@pytest.fixture
def readable_by_all():
    """A folder that anybody may reach, while the test runs as somebody who is not root."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o777)
        os.seteuid(65534 if os.getuid() == 0 else os.getuid())
        yield Path(folder)
        os.seteuid(os.getuid())


@pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")
def test_folders_and_files_that_may_not_be_read_cost_no_other_checkpoint(readable_by_all):
    root = readable_by_all
    write_safetensors(root / "checkpoints/good.safetensors", SD1)
    write_safetensors(root / "checkpoints/closed.safetensors", SD1).chmod(0)
    (write_folder(root / "checkpoints/half") / "unet").chmod(0)
    (root / "checkpoints/lost+found").mkdir(mode=0)
    catalog = Catalog((root,), write_folder(root / "starter"))
    assert names(catalog) == ["storybook", "good"]
    for name in ("closed", "half"):
        with pytest.raises(ModelCorrupt, match="Permission denied"):
            catalog.find(name)


def test_files_that_vanish_while_they_are_listed_raise_nothing(catalog, checkpoints):
    blink = "while :; do cp a.x b.safetensors; rm b.safetensors; cp -r folder c; rm -r c; done"
    write_safetensors(checkpoints / "a.x", SD1)
    write_folder(checkpoints / "folder")
    blinking = subprocess.Popen(["sh", "-c", blink], cwd=checkpoints, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 1
        while time.monotonic() < until:
            assert names(catalog)[0] == "storybook"
    finally:
        blinking.kill()
        blinking.wait()


def test_thousand_files_are_listed_quickly(catalog, checkpoints):
    for number in range(1000):
        write_safetensors(checkpoints / f"{number % 10}/{number}.safetensors", SD1)
    assert len(catalog.list()) == 1001
    started = time.process_time()
    catalog.list()
    assert time.process_time() - started < 0.5


def test_a_name_that_was_just_looked_up_costs_no_walk(catalog, checkpoints):
    for number in range(1000):
        write_safetensors(checkpoints / f"{number % 10}/{number}.safetensors", SD1)
    whole = least_seconds(lambda: catalog.list())
    assert least_seconds(lambda: catalog.find("777")) < whole / 5


def least_seconds(work):
    def seconds():
        started = time.perf_counter()
        work()
        return time.perf_counter() - started

    return min(seconds() for _ in range(3))


def test_what_was_just_found_is_found_as_it_is_now(catalog, checkpoints):
    path = write_safetensors(checkpoints / "photo.safetensors", SD1)
    assert catalog.find("photo").family == "sd1"
    write_safetensors(path, SDXL)
    assert catalog.find("photo").family == "sdxl"
    path.rename(checkpoints / "picture.safetensors")
    assert catalog.find("picture").family == "sdxl"
    with pytest.raises(ModelNotFound):
        catalog.find("photo")


def test_many_threads_may_ask_at_once(catalog, checkpoints):
    for number in range(20):
        write_safetensors(checkpoints / f"{number}.safetensors", SD1)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda number: (catalog.find(str(number % 20)).name, len(catalog.list())), range(80)))
    assert found == [(str(number % 20), 21) for number in range(80)]


def test_files_of_other_folders_are_named_without_being_opened(catalog, checkpoints):
    folder = checkpoints.parent / "loras"
    paths = [write_safetensors(folder / name, {}) for name in ("style/ink.safetensors", "style/Ink.pt")]
    (folder / "style/ink.png").touch()
    assert catalog.files("loras") == {"style/Ink": (paths[1], ""), "style/ink (2)": (paths[0], "")}


VAE = {"encoder.conv_in.weight": (8, 3, 3, 3), "decoder.conv_in.weight": (8, 4, 3, 3)}


def test_vaes_are_listed_with_their_channels(catalog, checkpoints):
    folder = checkpoints.parent / "vae"
    write_safetensors(folder / "sharp.safetensors", VAE)
    write_safetensors(folder / "more/old.safetensors", {f"first_stage_model.{name}": VAE[name] for name in VAE})
    write_safetensors(folder / "wide.safetensors", {**VAE, "decoder.conv_in.weight": (8, 16, 3, 3)})
    write_safetensors(folder / "none.safetensors", SD1)
    assert [(vae.name, vae.channels) for vae in catalog.vaes()] == [("more/old", 4), ("sharp", 4), ("wide", 16)]
    assert catalog.find_vae("OLD").name == "more/old"


def test_vae_that_is_none_or_not_there_is_told(catalog, checkpoints):
    write_safetensors(checkpoints.parent / "vae/lora.safetensors", {"a.lora_up.weight": (4, 4)})
    (checkpoints.parent / "vae/broken.safetensors").write_bytes(b"<html>")
    for name, reason in (("lora", "no encoder and decoder"), ("broken", "web page")):
        with pytest.raises(VaeRefused, match=reason):
            catalog.find_vae(name)
    with pytest.raises(VaeNotFound, match="'../x'. The nearest|'../x'"):
        catalog.find_vae("../x")


def test_vae_that_names_another_family_is_refused_for_it(catalog, checkpoints):
    metadata = {"modelspec.architecture": "stable-diffusion-xl-v1-base/vae"}
    write_safetensors(checkpoints.parent / "vae/xl.safetensors", VAE, metadata)
    vae = catalog.find_vae("xl")
    vae.check_family(FAMILIES["sdxl"])
    with pytest.raises(VaeRefused, match="made for Stable Diffusion XL, not for Stable Diffusion 1.x"):
        vae.check_family(FAMILIES["sd1"])


@pytest.mark.parametrize("kind", ["checkpoints", "vae"])
def test_file_that_was_marked_answers_so_until_it_changes(catalog, checkpoints, kind):
    path = write_safetensors(checkpoints.parent / kind / "nan.safetensors", VAE if kind == "vae" else SD1)
    find = catalog.find if kind == "checkpoints" else catalog.find_vae
    catalog.mark(find("nan"), BrokenPicture("nan", ["vae"]))
    with pytest.raises(BrokenPicture, match="its vae holds NaN"):
        find("nan")
    path.touch()
    assert find("nan").name == "nan"


def test_catalog_needs_neither_torch_nor_transformers():
    code = "import sys, pipelines.engine.catalog; assert not {'torch', 'transformers', 'diffusers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
