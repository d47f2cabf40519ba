import io
import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from PIL import Image, PngImagePlugin

from presets.available import Available
from presets.exif import write_texts
from presets.foreign import NoPicture, PictureInfo, read_info
from presets.images import ImageRef
from presets.infotext import parameters_text
from presets.metadata import ENCODERS
from presets.requests import ImageToImage, Inpaint, TextToImage
from presets.upscale import Upscale

HERE = Available({"Storybook": "", "dreamshaper_8": "879db523c3" + "0" * 54}, ("styles/ink", "wool"), ("sharp",))
HOUSE = TextToImage(prompt="a house <lora:ink:0.5>", checkpoint="Storybook", seed=7, width=128, height=128)

A1111 = """a house <lora:ink:0.5> <lora:gone:1>
Negative prompt: blurry
Steps: 30, Sampler: DPM++ 2M Karras, CFG scale: 7, Seed: 123, Size: 512x768, Model hash: 879db523c3, \
Model: other_name, VAE: sharp.safetensors, Denoising strength: 0.5, Clip skip: 2, Hires upscale: 2, \
Lora hashes: "ink: 0123456789ab, gone: ba9876543210", Version: v1.10.1"""


def picture(**texts: str) -> io.BytesIO:
    chunks = PngImagePlugin.PngInfo()
    for name, text in texts.items():
        chunks.add_text(name, text)
    buffer = io.BytesIO()
    Image.new("RGB", (40, 24)).save(buffer, "PNG", pnginfo=chunks)
    buffer.seek(0)
    return buffer


def info(**texts: str) -> PictureInfo:
    return read_info(picture(**texts), HERE)


def restored(found: PictureInfo) -> dict[str, object]:
    assert found.request
    return found.request.model_dump(include=set(found.restored))


def test_a1111_settings_are_put_into_our_terms():
    found = info(parameters=A1111)
    assert (found.program, found.width, found.height) == ("AUTOMATIC1111", 40, 24)
    assert restored(found) == {
        "prompt": "a house <lora:styles/ink:0.5>",
        "negative_prompt": "blurry",
        "steps": 30,
        "sampler": "DPM++ 2M",
        "schedule": "karras",
        "guidance_scale": 7.0,
        "seed": 123,
        "width": 512,
        "height": 768,
        "clip_skip": 2,
        "checkpoint": "dreamshaper_8",
        "vae": "sharp",
        "hires_factor": 2.0,
        "hires_strength": 0.5,
    }
    assert found.ignored == {}


PHOTO = ImageRef(sha256="0" * 64, width=512, height=512)
STEPS = "a house\nSteps: 20, Sampler: Euler, CFG scale: 7, Seed: 7, Size: 512x512, Denoising strength: 0.75, "


def test_inpainting_of_a1111_goes_along_to_such_a_form_and_the_rest_is_told():
    found = info(
        parameters=f"{STEPS}Mask blur: 8, Inpaint area: Only masked, Masked area padding: 64, "
        "Masked content: latent noise, Soft inpainting enabled: True, Soft inpainting schedule bias: 1, "
        "Soft inpainting preservation strength: 0.5, Version: v1.10.1"
    )
    told = {"strength": 0.75, "feather_mask": 8, "area": "masked", "padding": 64, "content": "noise", "soft_mask": True}
    assert (found.kind, found.beside) == ("inpaint", {**told, "invert_mask": False, "grow_mask": 0})
    assert found.request and (found.request.kind, found.request.prompt) == ("text-to-image", "a house")
    assert found.ignored == {"Soft inpainting schedule bias": "1", "Soft inpainting preservation strength": "0.5"}
    assert found.settings["feather_mask"] == 8 and found.settings["seed"] == 7


def test_sd_upscale_of_a1111_goes_along_to_upscale():
    found = info(parameters=f"{STEPS}SD upscale overlap: 64, SD upscale upscaler: None, Version: v1.10.1")
    expected = {"upscaler": "lanczos", "redraw_strength": 0.75, "redraw_tile": 512, "redraw_overlap": 0.125}
    assert (found.kind, found.beside, found.ignored) == ("upscale", expected, {})
    assert found.request and "width" not in found.restored
    found = info(parameters=f"{STEPS}SD upscale overlap: 64, SD upscale upscaler: 4x, Face restoration: GFPGAN")
    assert [missing.what for missing in found.missing] == ["upscaler", "face restorer"]


def test_image_to_image_of_a1111_goes_along_with_its_rounds():
    found = info(parameters=f"{STEPS}Final denoising strength: 0.3, Denoising curve: Lazy, Loops: 4, Version: v1.10.1")
    expected = {"strength": 0.75, "final_strength": 0.3, "strength_curve": "lazy", "rounds": 4}
    assert (found.kind, found.beside, found.ignored) == ("image-to-image", expected, {})
    assert info(parameters=STEPS.replace("0.75", "7")).refused


@pytest.mark.parametrize(
    "request_",
    [
        Inpaint(
            image=PHOTO, prompt="a", mask=PHOTO, soft_mask=True, area="masked", padding=48, content="fill", steps=9
        ),
        Inpaint(image=PHOTO, prompt="a", mask=PHOTO, invert_mask=True, feather_mask=0, strength=0.4),
        Upscale(image=PHOTO, prompt="a", redraw_strength=0.4, redraw_tile=256, redraw_overlap=0.25, upscaler="lanczos"),
        ImageToImage(image=PHOTO, prompt="a", strength=0.4, rounds=3, final_strength=0.2, strength_curve="lazy"),
    ],
)
def test_our_own_text_alone_tells_of_such_kinds_what_it_knows(request_):
    found = info(parameters=parameters_text(request_))
    assert (found.program, found.kind, found.ignored, found.refused) == ("Easel", request_.kind, {}, ())
    assert found.beside and found.beside == {name: getattr(request_, name) for name in found.beside}


def test_what_is_missing_is_named_with_its_hash_and_the_nearest():
    text = A1111.replace("879db523c3", "ffffffffff").replace("other_name", "dreamshaper_7.safetensors")
    checkpoint, lora = info(parameters=text).missing
    assert str(checkpoint) == (
        "The checkpoint 'dreamshaper_7.safetensors' (hash ffffffffff) is not here. The nearest is 'dreamshaper_8'."
    )
    assert (lora.what, lora.name, lora.hash, lora.near) == ("LoRA", "gone", "ba9876543210", ())


@pytest.mark.parametrize(
    ("text", "program"),
    [
        ("x\nSteps: 9, Sampler: Euler a, Seed: 1, Size: 64x64, Version: f2.0.1v1.10.1", "Forge"),
        ("x\nSteps: 9, Size: 64x64, Sampler: Euler a, Seed: 1, App: SD.Next, Version: b4", "SD.Next"),
        ("x\nSteps: 9, Sampler: Euler a, Seed: 1, Size: 64x64, Version: Fooocus v2.5.5", "Fooocus"),
        ("x\nSteps: 9, Sampler: Euler a, Seed: 1, Size: 64x64, Version: ComfyUI", "ComfyUI"),
        ("x\nSteps: 9, Sampler: Euler a, Seed: 1, Size: 64x64, Civitai resources: []", "Civitai"),
    ],
)
def test_programs_with_the_same_text_are_told_apart(text, program):
    found = info(parameters=text)
    assert found.program == program
    assert restored(found) == {"prompt": "x", "negative_prompt": "", "steps": 9, "sampler": "Euler a", "seed": 1} | {
        "width": 64,
        "height": 64,
    }


def test_settings_are_found_in_the_exif_of_other_formats():
    for format in ("JPEG", "WEBP"):
        buffer = io.BytesIO()
        Image.new("RGB", (8, 8)).save(buffer, format, exif=write_texts(None, A1111))
        buffer.seek(0)
        assert read_info(buffer, HERE).restored == info(parameters=A1111).restored


def node(kind: str, **inputs: object) -> dict[str, object]:
    return {"class_type": kind, "inputs": inputs}


COMFY = {
    "3": node(
        "KSampler",
        seed=5,
        steps=8,
        cfg=6.5,
        sampler_name="dpmpp_2m_sde_gpu",
        scheduler="karras",
        denoise=1,
        model=["10", 0],
        positive=["6", 0],
        negative=["7", 0],
        latent_image=["5", 0],
    ),
    "4": node("CheckpointLoaderSimple", ckpt_name="sd15\\DreamShaper_8.safetensors"),
    "5": node("EmptyLatentImage", width=512, height=640, batch_size=2),
    "6": node("CLIPTextEncode", text=["12", 0], clip=["11", 0]),
    "7": node("CLIPTextEncode", text="grey [fog], embedding:bad", clip=["11", 0]),
    "10": node("LoraLoader", lora_name="ink.safetensors", strength_model=0.7, strength_clip=1.0, model=["4", 0]),
    "11": node("CLIPSetLastLayer", stop_at_clip_layer=-2, clip=["4", 1]),
    "12": node("PrimitiveString", value="a (house:1.2)"),
    "8": node("VAEDecode", samples=["3", 0], vae=["9", 0]),
    "9": node("VAELoader", vae_name="sharp.pt"),
}
COMFY_RESTORED = {
    "prompt": "a (house:1.2)",
    "negative_prompt": r"grey \[fog\], bad",
    "seed": 5,
    "steps": 8,
    "guidance_scale": 6.5,
    "sampler": "DPM++ 2M SDE",
    "schedule": "karras",
    "width": 512,
    "height": 640,
    "count": 2,
    "clip_skip": 2,
    "checkpoint": "dreamshaper_8",
    "vae": "sharp",
    "loras": ({"name": "styles/ink", "strength": 0.7, "text_encoder_strength": 1.0},),
}


def test_a_comfyui_graph_is_walked_from_its_sampler():
    found = info(prompt=json.dumps(COMFY), workflow="{}")
    assert (found.program, found.missing, found.ignored) == ("ComfyUI", (), {})
    assert restored(found) == COMFY_RESTORED


def test_a_comfyui_graph_of_custom_sampling_is_walked_too():
    sampler = node(
        "SamplerCustomAdvanced",
        noise=["20", 0],
        guider=["21", 0],
        sampler=["22", 0],
        sigmas=["23", 0],
        latent_image=["5", 0],
    )
    parts = {
        "3": sampler,
        "20": node("RandomNoise", noise_seed=5),
        "21": node("CFGGuider", cfg=6.5, model=["10", 0], positive=["6", 0], negative=["7", 0]),
        "22": node("KSamplerSelect", sampler_name="dpmpp_2m_sde"),
        "23": node("BasicScheduler", scheduler="karras", steps=8, denoise=1.0, model=["10", 0]),
    }
    assert restored(info(prompt=json.dumps(COMFY | parts))) == COMFY_RESTORED


def test_of_several_samplers_the_one_that_begins_with_nothing_counts():
    second = dict(COMFY["3"]["inputs"], seed=99, denoise=0.4, latent_image=["3", 0])
    found = info(prompt=json.dumps({"1": node("KSampler", **second), **COMFY}))
    assert restored(found)["seed"] == 5
    assert "samples 2 times" in found.notes[0]


def test_a_given_picture_in_the_graph_cannot_be_honoured_and_is_said_so():
    given = {
        "3": node("KSampler", **(COMFY["3"]["inputs"] | {"latent_image": ["30", 0], "denoise": 0.6})),
        "30": node("VAEEncode", pixels=["31", 0]),
        "31": node("LoadImage", image="cat.png"),
    }
    assert info(prompt=json.dumps(COMFY | given)).ignored == {"denoise": "0.6", "a given picture": "cat.png"}


def test_comfyui_in_webp_is_found_under_the_cameras_model():
    exif = Image.Exif()
    exif[0x0110] = "prompt:" + json.dumps(COMFY)
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "WEBP", exif=exif.tobytes())
    buffer.seek(0)
    assert restored(read_info(buffer, HERE)) == COMFY_RESTORED


def test_invokeai_is_read():
    content = {
        "app_version": "6.0.0",
        "generation_mode": "txt2img",
        "positive_prompt": "a house++",
        "negative_prompt": "fog",
        "width": 512,
        "height": 512,
        "seed": 4,
        "cfg_scale": 7.5,
        "steps": 30,
        "scheduler": "dpmpp_2m_k",
        "clip_skip": 1,
        "model": {"name": "DreamShaper_8", "hash": "blake3:00"},
        "loras": [{"model": {"name": "ink"}, "weight": 0.75}],
        "strength": 0.6,
    }
    found = info(invokeai_metadata=json.dumps(content))
    assert (found.program, found.ignored) == ("InvokeAI", {"strength": "0.6"})
    assert restored(found) == {
        "prompt": "a house++",
        "negative_prompt": "fog",
        "steps": 30,
        "seed": 4,
        "guidance_scale": 7.5,
        "width": 512,
        "height": 512,
        "clip_skip": 2,
        "sampler": "DPM++ 2M",
        "schedule": "karras",
        "checkpoint": "dreamshaper_8",
        "loras": ({"name": "styles/ink", "strength": 0.75, "text_encoder_strength": None},),
    }
    assert any("plain text here" in note for note in found.notes)


def test_fooocus_is_read():
    content = {
        "metadata_scheme": "fooocus",
        "version": "Fooocus v2.5.5",
        "prompt": "a house",
        "negative_prompt": "fog",
        "steps": 60,
        "seed": "4",
        "guidance_scale": 4,
        "resolution": "(896, 1152)",
        "base_model": "dreamshaper_8",
        "base_model_hash": "879db523c3",
        "sampler": "dpmpp_2m_sde_gpu",
        "scheduler": "karras",
        "clip_skip": 2,
        "loras": [["ink", 0.1, "0123456789ab"], ["None", 1.0]],
        "lora_combined_1": "ink : 0.1",
        "styles": "['Fooocus V2']",
        "refiner_model": "None",
    }
    found = info(parameters=json.dumps(content), fooocus_scheme="fooocus")
    assert (found.program, found.ignored) == ("Fooocus", {"styles": "['Fooocus V2']", "refiner_model": "None"})
    assert restored(found)["width"], restored(found)["height"] == (896, 1152)
    assert restored(found)["loras"] == ({"name": "styles/ink", "strength": 0.1, "text_encoder_strength": None},)
    assert restored(found)["checkpoint"] == "dreamshaper_8"


def test_swarmui_is_read():
    parameters = {
        "prompt": "a house",
        "negativeprompt": "fog",
        "model": "sd15/dreamshaper_8",
        "seed": 4,
        "steps": 20,
        "cfgscale": 7.0,
        "width": 512,
        "height": 640,
        "sampler": "euler_ancestral",
        "scheduler": "normal",
        "loras": ["wool"],
        "loraweights": ["0.4"],
        "swarm_version": "0.9",
        "refinerupscale": 2,
    }
    found = info(parameters=json.dumps({"sui_image_params": parameters, "sui_extra_data": {"date": "today"}}))
    assert (found.program, found.ignored) == ("SwarmUI", {"refinerupscale": "2"})
    assert restored(found) == {
        "prompt": "a house",
        "negative_prompt": "fog",
        "steps": 20,
        "seed": 4,
        "guidance_scale": 7.0,
        "width": 512,
        "height": 640,
        "sampler": "Euler a",
        "schedule": "normal",
        "checkpoint": "dreamshaper_8",
        "loras": ({"name": "wool", "strength": 0.4, "text_encoder_strength": None},),
    }


def test_novelai_is_read_with_its_brackets_put_into_our_syntax():
    content = {"uc": "[fog]", "steps": 28, "scale": 5.0, "seed": 4, "width": 832, "height": 1216} | {
        "sampler": "k_euler_ancestral",
        "noise_schedule": "karras",
        "sm": False,
    }
    found = info(Software="NovelAI", Description="a {{red}} house (big)", Comment=json.dumps(content))
    assert (found.program, found.ignored) == ("NovelAI", {})
    assert found.request
    assert found.request.prompt == r"a ((red:1.05):1.05) house \(big\)"
    assert (found.request.negative_prompt, found.request.sampler) == ("(fog:0.952)", "Euler a")


def test_our_own_is_exact_and_only_what_is_missing_is_left_out():
    for encode in ENCODERS.values():
        own = io.BytesIO(encode(Image.new("RGB", (8, 8)), HOUSE, {}))
        found = read_info(own, Available({"Storybook": ""}, ("ink",)))
        assert (found.program, found.request, found.notes, found.missing) == ("Easel", HOUSE, (), ())
        own.seek(0)
        found = read_info(own, Available({"Other": ""}, ()))
        assert [missing.what for missing in found.missing] == ["checkpoint", "LoRA"]
        assert found.request == HOUSE.model_copy(update={"prompt": "a house", "checkpoint": ""})


GIVEN = ImageRef(sha256="ab" * 32, width=64, height=64)


@pytest.mark.parametrize(
    "request_of_kind",
    [
        ImageToImage(prompt="a house", checkpoint="Storybook", image=GIVEN, strength=0.3, seed=7),
        Inpaint(prompt="a house", checkpoint="Storybook", image=GIVEN, mask=GIVEN, extend_left=8, seed=7),
    ],
    ids=lambda request: request.kind,
)
@pytest.mark.parametrize("encode", ENCODERS.values())
def test_requests_that_name_pictures_are_exact_too(request_of_kind, encode):
    own = io.BytesIO(encode(Image.new("RGB", (8, 8)), request_of_kind, {}))
    found = read_info(own, HERE)
    assert (found.request, found.refused, found.missing) == (request_of_kind, (), ())


def test_our_own_files_are_found_by_their_hashes_under_other_names():
    digits = "879db523c3" + "0" * 54
    record = {"hashes": {"checkpoint": digits, "lora:ink": "ab" * 32}}
    own = io.BytesIO(ENCODERS[".png"](Image.new("RGB", (8, 8)), HOUSE, record))
    found = read_info(own, Available({"renamed": digits}, ("wool",), lora_hashes={"wool": ("ab" * 32,)}))
    assert found.request and found.request.checkpoint == "renamed"
    assert [lora.name for lora in found.request.all_loras] == ["wool"]


def test_a_model_of_the_hub_is_not_missing():
    own = HOUSE.model_copy(update={"checkpoint": "owner/name", "prompt": ""})
    found = read_info(io.BytesIO(ENCODERS[".png"](Image.new("RGB", (8, 8)), own, {})), HERE)
    assert (found.request, found.missing) == (own, ())


def test_where_our_own_text_is_damaged_the_parameters_are_read():
    found = info(easel="{", parameters=A1111)
    assert found.program == "AUTOMATIC1111"
    assert "not valid JSON" in found.notes[0]


def test_values_that_are_not_allowed_are_listed_and_the_others_kept():
    text = A1111.replace("Seed: 123", "Seed: 1e9999").replace("Steps: 30", "Steps: 100000").replace("512x", "513x")
    found = info(parameters=text)
    assert not {"seed", "steps", "width"} & set(found.restored)
    assert [sentence.split()[0] for sentence in found.refused] == ["Steps", "Width", "Seed"]
    assert restored(found)["height"] == 768


def test_a_prompt_with_a_weight_that_is_refused_costs_no_other_field():
    found = info(parameters=A1111.replace("a house", "(a house:1e9)"))
    assert "prompt" not in found.restored
    assert restored(found)["steps"] == 30


@pytest.mark.parametrize(
    ("sampler", "kept"),
    [
        ("Restart", {}),
        ("DPM++ 2S a Karras", {"sampler": "DPM++ 2S", "schedule": "karras"}),
        ("euler", {"sampler": "Euler"}),
    ],
)
def test_a_sampler_that_is_not_here_is_told(sampler, kept):
    found = info(parameters=A1111.replace("DPM++ 2M Karras", sampler))
    assert {name: value for name, value in restored(found).items() if name in ("sampler", "schedule")} == kept
    assert any("is not known here" in note for note in found.notes) == (sampler != "euler")


def test_a_picture_that_tells_nothing_is_no_error():
    found = info(Title="my holiday")
    assert (found.program, found.request, found.texts) == ("", None, {"Title": "my holiday"})


@pytest.mark.parametrize("content", [b"", b"<html>", b"\x89PNG\r\n\x1a\n", b"GIF89a"])
def test_a_file_that_is_no_picture_is_refused_with_a_sentence(content):
    with pytest.raises(NoPicture, match="E-IMAGE-FORMAT"):
        read_info(io.BytesIO(content), HERE)


HOSTILE = [
    "__import__('os').system('true')",
    "<script>alert(1)</script>\nSteps: 1, Seed: 2, Size: <script>, Model: <img onerror=x>",
    "[" * 100_000,
    '{"a":' * 50_000,
    "9" * 5_000,
    '{"sui_image_params": {"prompt": "\\ud800", "model": "\\ud800", "odd": "\\udfff"}}',
    '{"sui_image_params": {"prompt": 7, "seed": {}, "width": [], "loras": {}, "cfgscale": NaN, "x": Infinity}}',
    '{"metadata_scheme": [], "loras": [[], 7, [["a"]], ["a", "b", "c", "d"]], "resolution": 7}',
    '{"1": {"class_type": 7, "inputs": {"latent_image": ["1", 0], "positive": ["1", 0], "model": ["1", 0]}}}',
    '{"1": {"inputs": {"latent_image": 0, "positive": 0, "seed": ["1", 0], "steps": [true, 0], "cfg": [[], []]}}}',
    '{"uc": [], "steps": "x", "scale": {}}',
    '{"app_version": 1, "model": [], "loras": [7, {"model": 7}], "clip_skip": true, "scheduler": {}}',
    'x\nSteps: 1, Seed: \\ud800, Model: "\\ud800", Sampler: "\\ud800", Size: 99999999x1',
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:30])
@pytest.mark.parametrize("name", ["parameters", "prompt", "invokeai_metadata", "Comment", "easel"])
def test_a_hostile_text_is_shown_and_breaks_nothing(name, text):
    start = time.process_time()
    found = info(**{name: text})
    assert found.texts[name] == text
    found.model_dump_json().encode()
    assert time.process_time() - start < 2


def test_json_that_is_as_deep_as_can_be_read_breaks_nothing():
    for depth in range(800, 1100, 7):
        deep = "[" * depth + "]" * depth
        for key in ("odd", "seed", "loras", "prompt", "model"):
            info(parameters=f'{{"sui_image_params": {{"{key}": {deep}, "steps": 3}}}}')


json_values = some.recursive(
    some.none() | some.booleans() | some.floats() | some.integers() | some.text(max_size=8),
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(some.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
KEYS = sorted({*COMFY["3"]["inputs"], "text", "clip", "guider", "noise", "sigmas", "lora_name", "ckpt_name", "width"})
links = some.tuples(some.sampled_from("123"), some.just(0)).map(list)
graphs = some.dictionaries(
    some.sampled_from("123"),
    some.fixed_dictionaries({"inputs": some.dictionaries(some.sampled_from(KEYS), links | json_values, max_size=8)}),
    min_size=1,
)


@pytest.mark.parametrize("name", ["conditioning", "sampler", "model", "guider", "samples", "latent_image"])
def test_the_largest_graph_of_links_takes_little_time(name):
    """Each node leads to the next, and to the beginning of all by every name that a walk follows."""
    names = ("text", "steps", "seed", "cfg", "positive", "negative", "model", "latent_image", "width", "height")
    graph = {
        str(number): {"inputs": {key: [str(number + 1), 0] for key in names} | {name: [str(number + 1), 0]}}
        for number in range(2_000)
    }
    start = time.process_time()
    info(prompt=json.dumps(graph))
    assert time.process_time() - start < 3


@given(graph=graphs)
@settings(max_examples=300, deadline=None)
def test_any_graph_is_read_without_an_error(graph):
    info(prompt=json.dumps(graph)).model_dump_json()


OTHERS = {
    "parameters": [
        "sui_image_params",
        "metadata_scheme",
        "base_model",
        "prompt",
        "loras",
        "sampler",
        "resolution",
        "vae",
    ],
    "invokeai_metadata": ["app_version", "positive_prompt", "scheduler", "loras", "model", "clip_skip", "seed"],
    "Comment": ["uc", "prompt", "sampler", "scale", "seed", "noise_schedule"],
    "easel": ["easel", "request", "record"],
}


@given(data=some.data(), name=some.sampled_from(sorted(OTHERS)))
@settings(max_examples=300, deadline=None)
def test_any_json_of_any_program_is_read_without_an_error(data, name):
    keys = some.sampled_from(OTHERS[name])
    content = data.draw(some.dictionaries(keys, json_values | some.dictionaries(keys, json_values, max_size=4)))
    info(**{name: json.dumps(content)}).model_dump_json()


@given(prompt=some.text(max_size=50), line=some.text(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_text_is_read_without_an_error(prompt, line):
    found = info(parameters=f"{prompt}\nSteps: {line}, Seed: 1, Size: 64x64")
    found.model_dump_json()
