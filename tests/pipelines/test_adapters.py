import copy
import gc
import re

import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline

from pipelines.engine.adapters import Adapters
from pipelines.engine.errors import Cancelled, LoraFamily, LoraNotFound, LoraNumbers, LoraShape, LoraUnusable
from presets.drawing import LoraUse
from presets.errors import UserError
from tests import loras
from tests.checkpoints import tiny_flux, tiny_sd1, tiny_sd3, tiny_sdxl
from tests.loras import ATTENTION, CONVOLUTION, PEFT_ENDS, components_of, kohya, layers, model_of, noise, save_lora


@pytest.fixture(scope="module")
def sd1() -> StableDiffusionPipeline:
    return tiny_sd1().to(torch.float32)


@pytest.fixture(scope="module")
def sdxl() -> StableDiffusionXLPipeline:
    return tiny_sdxl().to(torch.float32)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(7)


FAMILY_OF = {"StableDiffusionXLPipeline": "sdxl", "StableDiffusion3Pipeline": "sd3", "FluxPipeline": "flux"}


def no_report(_event):
    pass


def state(pipe):
    """Copies of all weights by component and name."""
    return {
        f"{part}.{name}": tensor.clone()
        for part, component in components_of(pipe).items()
        for name, tensor in component.state_dict().items()
    }


def changed(before, after):
    return {name for name in before if not before[name].equal(after[name])}


def applied(root, pipe, *uses, report=no_report, adapters=None):
    model = model_of(FAMILY_OF.get(type(pipe).__name__, "sd1"))
    adapters = adapters or Adapters(loras.files_in(root))
    return adapters.applied(components_of(pipe), model, uses, report)


def merged(root, pipe, *uses):
    with applied(root, pipe, *uses):
        return state(pipe)


def fused(pipe, path, strength=1.0):
    """What diffusers makes of the same file."""
    pipe = copy.deepcopy(pipe)
    pipe.load_lora_weights(path.parent, weight_name=path.name)
    pipe.fuse_lora(lora_scale=strength)
    pipe.unload_lora_weights()
    return state(pipe)


def assert_same(ours, theirs, before):
    assert changed(before, theirs)
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, atol=2e-6, rtol=1e-5, msg=lambda text, name=name: name + text)


@pytest.mark.parametrize("pattern", [ATTENTION, f"{ATTENTION}|{CONVOLUTION}"])
def test_kohyas_lora_of_sd1_makes_what_diffusers_makes(tmp_path, sd1, pattern):
    path = save_lora(tmp_path, "ink", loras.of_sd1(sd1, pattern))
    assert_same(merged(tmp_path, sd1, LoraUse(name="ink", strength=0.7)), fused(sd1, path, 0.7), state(sd1))


def test_kohyas_lora_of_sdxl_makes_what_diffusers_makes(tmp_path, sdxl):
    path = save_lora(tmp_path, "ink", loras.of_sdxl(sdxl))
    assert_same(merged(tmp_path, sdxl, LoraUse(name="ink")), fused(sdxl, path), state(sdxl))


QKV, ADDED = ("attn.to_q", "attn.to_k", "attn.to_v"), ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj")
BLOCK = re.compile(r"lora_unet_(joint_blocks|double_blocks|single_blocks)_(\d+)_(\w+)(\..+)")
PARTS = {
    "x_block_attn_qkv": QKV,
    "context_block_attn_qkv": ADDED,
    "x_block_mlp_fc1": ("ff.net.0.proj",),
    "x_block_adaLN_modulation_1": ("norm1.linear",),
    "img_attn_qkv": QKV,
    "txt_attn_qkv": ADDED,
    "img_attn_proj": ("attn.to_out.0",),
    "txt_mlp_2": ("ff_context.net.2",),
    "img_mod_lin": ("norm1.linear",),
    "linear1": (*QKV, "proj_mlp"),
    "linear2": ("proj_out",),
}


def apart(pipe, tensors):
    """A LoRA for blocks in the original layout as one for diffusers' layers: the lower side is everybody's, the upper
    one is cut."""
    result = {}
    for name, tensor in tensors.items():
        found = BLOCK.fullmatch(name)
        if found is None:
            result[name] = tensor
            continue
        block = f"{'single_' * (found[1] == 'single_blocks')}transformer_blocks.{found[2]}."
        paths = [block + part for part in PARTS[found[3]]]
        rows = [pipe.transformer.get_parameter(f"{path}.weight").shape[0] for path in paths]
        cuts = tensor.split(rows) if "lora_up" in name else [tensor] * len(rows)
        for path, cut in zip(paths, cuts, strict=True):
            result[f"lora_transformer_{path.replace('.', '_')}{found[4]}"] = cut.clone()
    return result


@pytest.mark.parametrize(("make", "lora_of"), [(tiny_flux, loras.of_flux), (tiny_sd3, loras.of_sd3)])
def test_kohyas_lora_of_a_transformer_is_one_of_its_layers_apart(tmp_path, make, lora_of):
    pipe = make().to(torch.float32)
    tensors = lora_of(pipe)
    save_lora(tmp_path, "ink", tensors)
    save_lora(tmp_path, "apart", apart(pipe, tensors))
    before = state(pipe)
    with applied(tmp_path, pipe, LoraUse(name="ink")) as result:
        ours = state(pipe)
    assert not result.warnings
    assert_same(ours, merged(tmp_path, pipe, LoraUse(name="apart")), before)


def test_kohyas_lora_of_fluxs_double_blocks_makes_what_diffusers_makes(tmp_path):
    pipe = tiny_flux().to(torch.float32)
    tensors = {name: tensor for name, tensor in loras.of_flux(pipe).items() if "double" in name}
    path = save_lora(tmp_path, "ink", tensors)
    assert_same(merged(tmp_path, pipe, LoraUse(name="ink")), fused(pipe, path), state(pipe))


@pytest.mark.parametrize("ends", [PEFT_ENDS, loras.OLD_ENDS])
def test_spellings_of_diffusers_make_what_diffusers_makes(tmp_path, sd1, ends):
    unet = loras.dotted("unet.", layers(sd1.unet, ATTENTION), ends)
    path = save_lora(tmp_path, "ink", unet)
    assert_same(merged(tmp_path, sd1, LoraUse(name="ink")), fused(sd1, path), state(sd1))


def test_loras_of_peft_take_their_alpha_from_the_config_beside(tmp_path, sd1):
    tensors = loras.dotted("base_model.model.", layers(sd1.unet), PEFT_ENDS)
    save_lora(tmp_path, "style/adapter_model", tensors)
    plain = merged(tmp_path, sd1, LoraUse(name="adapter_model", strength=2))
    config = tmp_path / "loras/style/adapter_config.json"
    config.write_text('{"lora_alpha": 8, "r": 4, "alpha_pattern": {"not.there": 1}}')
    assert_same(merged(tmp_path, sd1, LoraUse(name="adapter_model")), plain, state(sd1))


def test_alphas_that_diffusers_notes_in_the_metadata_count(tmp_path, sd1):
    tensors = loras.dotted("unet.", layers(sd1.unet), PEFT_ENDS)
    noted = '{"unet.r": 4, "unet.lora_alpha": 8, "unet.target_modules": ["to_q", "to_k", "to_v", "to_out.0"]}'
    path = save_lora(tmp_path, "ink", tensors, {"lora_adapter_metadata": noted})
    assert_same(merged(tmp_path, sd1, LoraUse(name="ink")), fused(sd1, path), state(sd1))


def test_unet_and_text_encoder_have_strengths_of_their_own(tmp_path, sd1):
    save_lora(tmp_path, "ink", loras.of_sd1(sd1))
    before = state(sd1)
    for use, component in (
        (LoraUse(name="ink", strength=1, text_encoder_strength=0), "unet."),
        (LoraUse(name="ink", strength=0, text_encoder_strength=1), "text_encoder."),
    ):
        names = changed(before, merged(tmp_path, sd1, use))
        assert names and all(name.startswith(component) for name in names)


def test_the_encoders_version_differs_exactly_when_their_weights_do(tmp_path, sd1):
    save_lora(tmp_path, "ink", loras.of_sd1(sd1))
    save_lora(tmp_path, "lines", kohya("lora_unet_", layers(sd1.unet)))

    def version(*uses):
        with applied(tmp_path, sd1, *uses) as result:
            return result.encoders

    ink = version(LoraUse(name="ink"))
    assert version() == version(LoraUse(name="lines")) == version(LoraUse(name="ink", text_encoder_strength=0)) != ink
    assert version(LoraUse(name="ink", strength=0.5)) == version(LoraUse(name="ink", text_encoder_strength=0.5)) != ink
    save_lora(tmp_path, "ink", loras.of_sd1(sd1))
    assert version(LoraUse(name="ink")) != ink


def test_two_loras_add_up(tmp_path, sd1):
    layer = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    for name in ("ink", "wool"):
        save_lora(tmp_path, name, kohya("lora_unet_", {layer: layers(sd1.unet)[layer]}))
    uses = (LoraUse(name="ink", strength=0.5), LoraUse(name="wool", strength=-2))
    before = state(sd1)[f"unet.{layer}.weight"]
    alone = [merged(tmp_path, sd1, use)[f"unet.{layer}.weight"] - before for use in uses]
    both = merged(tmp_path, sd1, *uses)[f"unet.{layer}.weight"]
    torch.testing.assert_close(both, before + alone[0] + alone[1], atol=1e-6, rtol=1e-5)
    assert not alone[1].equal(torch.zeros_like(before))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_weights_are_restored_bit_for_bit_and_keep_their_order(tmp_path, sd1, dtype, memory_format):
    pipe = copy.deepcopy(sd1)
    pipe.to(dtype)
    pipe.unet.to(memory_format=memory_format)
    save_lora(tmp_path, "ink", loras.of_sd1(sd1, f"{ATTENTION}|{CONVOLUTION}"))
    before, strides = state(pipe), [weight.stride() for weight in pipe.unet.parameters()]
    adapters = Adapters(loras.files_in(tmp_path))
    for strength in (1, 10, -1e-3):
        with applied(tmp_path, pipe, LoraUse(name="ink", strength=strength), adapters=adapters):
            assert len(changed(before, state(pipe))) > 20
        assert not changed(before, state(pipe))
    assert strides == [weight.stride() for weight in pipe.unet.parameters()]


def test_the_order_in_memory_does_not_change_the_sum(tmp_path, sd1):
    pipe = copy.deepcopy(sd1)
    pipe.unet.to(memory_format=torch.channels_last)
    save_lora(tmp_path, "ink", loras.of_sd1(sd1, CONVOLUTION))
    use = LoraUse(name="ink")
    assert_same(merged(tmp_path, pipe, use), merged(tmp_path, sd1, use), state(sd1))


def test_a_strength_of_nothing_touches_nothing(tmp_path, sd1):
    save_lora(tmp_path, "ink", loras.of_sd1(sd1))
    before = state(sd1)
    assert not changed(before, merged(tmp_path, sd1, LoraUse(name="ink", strength=0)))


class Interrupted(Exception):
    pass


def test_weights_are_restored_when_merging_is_cancelled(tmp_path, sd1):
    save_lora(tmp_path, "ink", loras.of_sd1(sd1))
    before, seen = state(sd1), []

    def cancel(event):
        seen.append((event, changed(before, state(sd1))))
        if len(seen) == 2:
            raise Cancelled

    with pytest.raises(Cancelled), applied(tmp_path, sd1, LoraUse(name="ink"), report=cancel):
        pytest.fail("it was cancelled before")
    assert seen[-1][1] and not changed(before, state(sd1))


def test_weights_are_restored_when_the_work_fails_and_what_is_kept_is_forgotten(tmp_path, sd1):
    save_lora(tmp_path, "ink", loras.of_sd1(sd1))
    before, adapters = state(sd1), Adapters(loras.files_in(tmp_path))
    with pytest.raises(Interrupted), applied(tmp_path, sd1, LoraUse(name="ink"), adapters=adapters):
        adapters.forget()
        raise Interrupted
    assert not changed(before, state(sd1))


def test_weights_that_changed_between_two_uses_are_restored_as_they_became(tmp_path, sd1):
    pipe = copy.deepcopy(sd1)
    save_lora(tmp_path, "ink", loras.of_sd1(sd1))
    adapters = Adapters(loras.files_in(tmp_path))
    with applied(tmp_path, pipe, LoraUse(name="ink"), adapters=adapters):
        pass
    for weight in pipe.unet.parameters():
        weight.data.mul_(2)
    before = state(pipe)
    with applied(tmp_path, pipe, LoraUse(name="ink"), adapters=adapters):
        pass
    assert not changed(before, state(pipe))


def test_the_same_loras_again_are_not_merged_again(tmp_path, sd1):
    save_lora(tmp_path, "ink", loras.of_sd1(sd1))
    before, adapters = state(sd1), Adapters(loras.files_in(tmp_path))
    with applied(tmp_path, sd1, LoraUse(name="ink"), adapters=adapters):
        name = next(name for name in changed(before, state(sd1)) if name.startswith("unet."))
        marked = sd1.unet.get_parameter(name.removeprefix("unet."))
        marked.data.fill_(7)
    with applied(tmp_path, sd1, LoraUse(name="ink"), adapters=adapters):
        assert bool((marked == 7).all())
    with applied(tmp_path, sd1, LoraUse(name="ink", strength=0.5), adapters=adapters):
        assert not bool((marked == 7).any())
    assert not changed(before, state(sd1))


def test_a_lora_whose_file_was_replaced_is_merged_anew(tmp_path, sd1):
    adapters = Adapters(loras.files_in(tmp_path))
    states = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        save_lora(tmp_path, "ink", loras.of_sd1(sd1))
        with applied(tmp_path, sd1, LoraUse(name="ink"), adapters=adapters):
            states.append(state(sd1))
    assert changed(*states)


def test_merged_weights_are_kept_until_loras_are_put_on_others(tmp_path, sd1):
    pipes = [copy.deepcopy(sd1) for _ in range(2)]
    save_lora(tmp_path, "ink", loras.of_sd1(sd1))
    save_lora(tmp_path, "lines", kohya("lora_unet_", layers(sd1.unet)))
    adapters, bytes_kept = Adapters(loras.files_in(tmp_path)), []
    for pipe, uses in (
        (pipes[0], [LoraUse(name="ink")]),
        (pipes[0], []),
        (pipes[1], []),
        (pipes[1], [LoraUse(name="lines")]),
    ):
        with applied(tmp_path, pipe, *uses, adapters=adapters):
            pass
        bytes_kept.append(adapters.bytes_merged)
    assert bytes_kept[0] == bytes_kept[1] == bytes_kept[2] > bytes_kept[3] > 0
    del pipe, pipes
    gc.collect()
    assert adapters.bytes_merged == 0


def test_read_loras_are_kept_within_their_budget(tmp_path, sd1):
    paths = {name: save_lora(tmp_path, name, loras.of_sd1(sd1)) for name in ("a", "b", "c")}
    adapters = Adapters(loras.files_in(tmp_path), parked_bytes=paths["a"].stat().st_size * 2)
    for name in ("a", "b", "a", "c"):
        with applied(tmp_path, sd1, LoraUse(name=name), adapters=adapters):
            assert 0 < adapters.bytes_parked <= paths["a"].stat().st_size * 2
    assert adapters.parked == ("a", "c")


@pytest.mark.parametrize(
    ("tensors", "error", "code"),
    [
        (lambda _: {"lora_unet_x.lora_up.weight": noise(4)}, LoraFamily, "E-LORA-FAMILY"),
        (lambda _: kohya("lora_te1_", {"x": (4, 4)}) | kohya("lora_te2_", {"x": (4, 4)}), LoraFamily, "E-LORA-FAMILY"),
        (lambda pipe: kohya("lora_unet_", dict.fromkeys(layers(pipe.unet), (8, 8))), LoraShape, "E-LORA-SHAPE"),
        (lambda pipe: {name: part * float("nan") for name, part in loras.of_sd1(pipe).items()}, LoraNumbers, "E-NAN"),
        (lambda pipe: {name: part * float("inf") for name, part in loras.of_sd1(pipe).items()}, LoraNumbers, "E-NAN"),
        (lambda _: kohya("lora_unet_", {f"x_{n}": (4, 4) for n in range(9)}), LoraShape, "E-LORA-SHAPE"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_touched(tmp_path, sd1, tensors, error, code):
    save_lora(tmp_path, "good", loras.of_sd1(sd1))
    save_lora(tmp_path, "bad", tensors(sd1))
    before, reports = state(sd1), []
    with (
        pytest.raises(error) as caught,
        applied(tmp_path, sd1, LoraUse(name="good"), LoraUse(name="bad"), report=reports.append),
    ):
        pytest.fail("it was applied")
    assert (caught.value.code, caught.value.field, reports) == (code, "loras", [])
    assert not changed(before, state(sd1))


def test_parts_of_two_ranks_do_not_go_together(tmp_path, sd1):
    tensors = loras.of_sd1(sd1)
    name = next(name for name in tensors if name.endswith("lora_up.weight"))
    save_lora(tmp_path, "bad", tensors | {name: noise(64, 3)})
    with (
        pytest.raises(LoraUnusable, match="rank is 4 on one side and 3 on the other") as caught,
        applied(tmp_path, sd1, LoraUse(name="bad")),
    ):
        pytest.fail("it was applied")
    assert caught.value.code == "E-LORA-SHAPE"


def test_layers_that_are_not_there_are_counted_and_told(tmp_path, sd1):
    known, unknown = layers(sd1.unet), {f"down_blocks.9.attn.{number}": (64, 64) for number in range(5)}
    save_lora(tmp_path, "old.name with space", kohya("lora_unet_", known) | kohya("lora_unet_", unknown))
    with applied(tmp_path, sd1, LoraUse(name="old.name with space")) as result:
        assert f"only {len(known)} of {len(known) + 5} layers" in result.warnings[0]


def test_a_lora_that_is_not_there_or_torn_is_told(tmp_path, sd1):
    path = save_lora(tmp_path, "ink", loras.of_sd1(sd1))
    path.write_bytes(path.read_bytes()[:-10])
    for name, error in (("ikn", LoraNotFound), ("ink", LoraUnusable)):
        with pytest.raises(error, match="ink"), applied(tmp_path, sd1, LoraUse(name=name)):
            pytest.fail("it was applied")


def test_weights_that_are_compressed_are_not_merged_into(tmp_path, sd1):
    pipe = copy.deepcopy(sd1)
    for module in pipe.unet.modules():
        if isinstance(module, torch.nn.Linear):
            module.weight = torch.nn.Parameter(module.weight.to(torch.int8), requires_grad=False)
    save_lora(tmp_path, "ink", loras.of_sd1(sd1))
    with pytest.raises(UserError, match="compressed"), applied(tmp_path, pipe, LoraUse(name="ink")):
        pytest.fail("it was applied")
