import io
import json
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from PIL import Image, PngImagePlugin

from presets.drawing import LoraUse
from presets.infotext import parameters_text
from presets.metadata import ENCODERS, MetadataUnreadable, converted, encode_png, read_picture, read_request
from presets.requests import TextToImage
from presets.samplers import SCHEDULES_OF

HOUSE = TextToImage(prompt="a red house", seed=7, width=128, height=128, checkpoint="Storybook")
RECORD = {"timings": {"total": 1.5}, "warnings": [], "device": "cpu"}

texts = some.text(max_size=300)
sides = some.none() | some.integers(8, 256).map(lambda side: side * 8)
sampling = some.sampled_from([(sampler, schedule) for sampler, all in SCHEDULES_OF.items() for schedule in all])
adapters = some.builds(
    LoraUse, name=texts, strength=some.floats(-10, 10), text_encoder_strength=some.none() | some.floats(-10, 10)
)


@some.composite
def requests(draw: some.DrawFn) -> TextToImage:
    sampler, schedule = draw(sampling)
    return TextToImage(
        prompt=draw(texts),
        negative_prompt=draw(texts),
        checkpoint=draw(texts),
        steps=draw(some.integers(1, 150)),
        width=draw(sides),
        height=draw(sides),
        count=draw(some.integers(1, 8)),
        seed=draw(some.integers(-1, 2**53 - 1)),
        guidance_scale=draw(some.floats(0, 30)),
        sampler=sampler,
        schedule=schedule,
        clip_skip=draw(some.integers(1, 12)),
        loras=tuple(draw(some.lists(adapters, max_size=3, unique_by=lambda lora: lora.name))),
    )


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def picture_with(path: Path, chunk: str) -> Path:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("easel", chunk)
    Image.new("RGB", (8, 8)).save(path, pnginfo=texts)
    return path


def chunk(**changes: object) -> str:
    return json.dumps({"easel": 1, "request": HOUSE.model_dump(), "record": {}} | changes)


@given(request=requests())
@settings(max_examples=150, deadline=None)
def test_any_request_survives_its_picture(request):
    for encode in (ENCODERS[".png"], ENCODERS[".webp"], ENCODERS[".jpg"]):
        recovered = read_request(io.BytesIO(encode(Image.new("RGB", (8, 8)), request, {})))
        assert recovered and recovered.request == request


@given(request=requests())
@settings(max_examples=150, deadline=None)
def test_any_request_survives_json(request):
    assert TextToImage.model_validate_json(request.model_dump_json()) == request


def test_the_record_comes_back_with_the_request(tmp_path):
    path = tmp_path / "house.png"
    path.write_bytes(encode_png(Image.new("RGB", (8, 8)), HOUSE, RECORD))
    recovered = read_request(path)
    assert recovered and (recovered.request, recovered.record) == (HOUSE, RECORD)


def test_the_pixels_are_not_changed_by_what_stands_beside_them():
    image = Image.effect_mandelbrot((64, 48), (-2, -1.5, 1, 1.5), 40).convert("RGB")
    assert opened(encode_png(image, HOUSE, RECORD)).tobytes() == image.tobytes()


@pytest.mark.parametrize(("ending", "format"), [(".webp", "WEBP"), (".jpg", "JPEG")])
def test_a_saved_picture_becomes_another_format_with_its_settings_inside(tmp_path, ending, format):
    path = tmp_path / "house.png"
    image = Image.effect_mandelbrot((64, 48), (-2, -1.5, 1, 1.5), 40).convert("RGB")
    path.write_bytes(encode_png(image, HOUSE, RECORD))
    content = converted(path, ending)
    recovered = read_request(io.BytesIO(content))
    assert recovered and (recovered.request, recovered.record) == (HOUSE, RECORD)
    assert opened(content).format == format
    difference = np.abs(np.asarray(opened(content), float) - np.asarray(image, float))
    assert difference.mean() < (0.001 if ending == ".webp" else 2)


@pytest.mark.parametrize("ending", [".webp", ".jpg"])
def test_other_programs_find_the_parameters_in_exif(ending):
    """As A1111 reads them: piexif takes the comment as UTF-16 with the high byte first."""
    content = ENCODERS[ending](Image.new("RGB", (8, 8)), HOUSE.model_copy(update={"prompt": "дом"}), {})
    comment = opened(content).getexif().get_ifd(0x8769)[0x9286]
    assert comment[:8] == b"UNICODE\0"
    assert comment[8:].decode("utf-16-be").startswith("дом\nSteps: 20")


@pytest.mark.parametrize("ending", ENCODERS)
def test_the_longest_prompts_of_the_widest_characters_survive(ending):
    request = TextToImage(prompt="\U0001f3e0" * 20_000, negative_prompt="\U0001f3e0" * 20_000)
    recovered = read_request(io.BytesIO(ENCODERS[ending](Image.new("RGB", (8, 8)), request, {})))
    assert recovered and recovered.request == request


@pytest.mark.parametrize("value", [float("nan"), float("inf"), Path("somewhere"), object()])
def test_no_record_costs_the_picture(value):
    recovered = read_request(io.BytesIO(encode_png(Image.new("RGB", (8, 8)), HOUSE, {"odd": value})))
    assert recovered and recovered.request == HOUSE


def test_a_picture_of_another_program_carries_no_request(tmp_path):
    path = tmp_path / "other.png"
    Image.new("RGB", (8, 8)).save(path)
    assert read_request(path) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "7",
        "[" * 100_000,
        "9" * 5_000,
        chunk(record={"long": "x" * 2**20}),
        chunk(easel=2),
        chunk(easel=True),
        chunk(easel="1"),
        chunk(easel=0),
        chunk(request=[]),
        chunk(request={}),
        chunk(record=None),
        chunk(request={"kind": ["text-to-image"], "prompt": ""}),
        chunk(request={"kind": "make-coffee", "prompt": ""}),
        chunk(request=HOUSE.model_dump() | {"steps": 10**9}),
        chunk(request=HOUSE.model_dump() | {"prompt": "\ud800"}),
        chunk(request=HOUSE.model_dump() | {"unknown": 1}),
        chunk(request=HOUSE.model_dump() | {"guidance_scale": float("nan")}),
    ],
    ids=lambda text: text[:40],
)
def test_a_hostile_chunk_is_refused_with_a_sentence(tmp_path, text):
    with pytest.raises(MetadataUnreadable, match="E-METADATA"):
        read_request(picture_with(tmp_path / "hostile.png", text))


def test_what_a_newer_easel_wrote_is_called_so(tmp_path):
    with pytest.raises(MetadataUnreadable, match="newer Easel"):
        read_request(picture_with(tmp_path / "newer.png", chunk(easel=2)))


def test_a_text_that_unpacks_to_very_much_is_refused(tmp_path):
    texts = PngImagePlugin.PngInfo()
    texts.add(b"zTXt", b"easel\0\0" + zlib.compress(b" " * 2**26))
    Image.new("RGB", (8, 8)).save(tmp_path / "bomb.png", pnginfo=texts)
    with pytest.raises(MetadataUnreadable):
        read_request(tmp_path / "bomb.png")


@pytest.mark.parametrize("content", [b"", b"<html>", b"\x89PNG\r\n\x1a\n", b"GIF89a"])
def test_a_file_that_is_no_png_is_refused_with_a_sentence(tmp_path, content):
    path = tmp_path / "no.png"
    path.write_bytes(content)
    with pytest.raises(MetadataUnreadable):
        read_request(path)


def test_a_missing_file_is_refused_with_a_sentence(tmp_path):
    with pytest.raises(MetadataUnreadable):
        read_request(tmp_path / "missing.png")


def test_the_size_is_read_with_the_request(tmp_path):
    path = tmp_path / "house.png"
    path.write_bytes(encode_png(Image.new("RGB", (40, 24)), HOUSE, {}))
    assert read_picture(path)[1] == (40, 24)


def test_the_parameters_stand_as_a1111_writes_them():
    request = HOUSE.model_copy(
        update={"negative_prompt": "blurry", "schedule": "karras", "clip_skip": 2, "guidance_scale": 7.5}
    )
    prompt, negative, line = parameters_text(request).split("\n")
    assert (prompt, negative) == ("a red house", "Negative prompt: blurry")
    assert line.startswith(
        "Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7.5, Seed: 7, Size: 128x128, "
        "Model: Storybook, Clip skip: 2, Version: Easel"
    )


def test_the_parameters_name_the_beginning_of_the_checkpoints_hash_where_it_is_known():
    text = parameters_text(HOUSE, {"checkpoint": "0123456789abcdef" * 4})
    assert "Size: 128x128, Model hash: 0123456789, Model: Storybook" in text
    assert "Model hash" not in parameters_text(HOUSE)


def test_parameters_leave_out_what_is_unknown_or_usual():
    text = parameters_text(TextToImage(prompt="x"))
    assert not any(key in text for key in ("Negative prompt", "Size", "Model", "Clip skip"))


def test_an_empty_prompt_leaves_the_line_of_parameters_alone():
    assert parameters_text(HOUSE.model_copy(update={"prompt": ""})).startswith("Steps: 20")


def test_parameters_quote_a_name_that_would_break_the_line():
    request = HOUSE.model_copy(update={"checkpoint": 'a, b: "c"'})
    assert r'Model: "a, b: \"c\""' in parameters_text(request)


def test_loras_stand_in_the_prompt_of_the_parameters():
    request = HOUSE.model_copy(
        update={"loras": (LoraUse(name="ink", strength=0.8), LoraUse(name="wool", text_encoder_strength=0))}
    )
    assert parameters_text(request).startswith("a red house <lora:ink:0.8> <lora:wool:1:0>\n")


def test_other_programs_find_the_parameters_in_the_file():
    image = opened(encode_png(Image.new("RGB", (8, 8)), HOUSE.model_copy(update={"prompt": "дом у моря"}), RECORD))
    assert image.info["parameters"].startswith("дом у моря\nSteps: 20")
