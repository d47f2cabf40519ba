from datetime import date, timedelta

import pytest
from PIL import Image

from presets.drawing import LoraUse
from presets.gallery import Gallery
from presets.gallery_search import FIELDS, SearchRefused, parsed
from presets.images import ImageRef
from presets.requests import TextToImage, Upscale

TODAY, DAY = date.today(), timedelta(days=1)
PHOTO = ImageRef(sha256="ab" * 32, width=16, height=16)


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    """Pictures 1 to 3, told apart by their seeds, and a larger one without a seed."""
    gallery = Gallery(tmp_path_factory.mktemp("home") / "pictures")
    small = Image.new("RGB", (16, 8))
    inks = (LoraUse(name="styles/My ink"),)
    first = TextToImage(prompt='a "red" house at 20:30', seed=1, checkpoint="Storybook", loras=inks, sampler="Euler a")
    second = TextToImage(prompt="a boat <lora:ink:0.5>", seed=2, checkpoint="Storybook Neon", steps=30)
    third = TextToImage(prompt="Größe", seed=3, checkpoint="Straße")
    for request in (first, second, third):
        gallery.add(small, request, {})
    gallery.add(Image.new("RGB", (32, 16)), Upscale(image=PHOTO, factor=2.0, upscaler="lanczos"), {})
    return gallery


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("checkpoint:storybook", [2, 1]),
        ("checkpoint:=storybook", [1]),
        ('checkpoint:="storybook neon"', [2]),
        ("CHECKPOINT:STRASSE", [3]),
        ("lora:ink", [2, 1]),
        ("lora:=ink", [2]),
        ('lora:="styles/my ink"', [1]),
        ("sampler:euler", [1]),
        ("seed:2", [2]),
        ("steps:30", [2]),
        ("size:16x8 kind:text-to-image", [3, 2, 1]),
        ("size:32×16", [-1]),
        ("width:32 height:16", [-1]),
        ("kind:upscale lanczos", [-1]),
        ("house checkpoint:storybook", [1]),
        ("boat checkpoint:straße", []),
        (f"on:{TODAY}", [-1, 3, 2, 1]),
        (f"after:{TODAY} until:{TODAY}", [-1, 3, 2, 1]),
        (f"before:{TODAY}", []),
        (f"after:{TODAY + DAY}", []),
        ("starred:no deleted:no GRÖSSE", [3]),
        ('"house at"', [1]),
        ('"20:30"', [1]),
        ("20:30", [1]),
        (r'"a \"red\" house"', [1]),
        ('"unclosed', []),
        ("<lora:ink", [2]),
        ("' OR 1=1 --", []),
        ("checkpoint:'%", []),
    ],
)
def test_a_search_finds_what_its_words_and_fields_say(gallery: Gallery, text: str, seeds: list):
    found = gallery.search(text)
    assert [getattr(picture.request, "seed", None) for picture in found] == seeds
    assert gallery.count(text) == len(seeds)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("checkpont:x", "no field 'checkpont'.* Did you mean checkpoint\\?.*in quotes"),
        ("house http://x", "no field 'http'"),
        ("seed:seven", "seed must be a whole number, but is 'seven'"),
        ("seed:" + "9" * 400, "seed must be a whole number"),
        ("size:large", "size must be like 512x768"),
        ("kind:music", "no kind 'music'. Kinds are: text-to-image"),
        ("starred:maybe", "starred must be yes or no"),
        ("deleted:maybe", "deleted must be yes or no"),
        ("after:yesterday", "after must be a day like 2026-11-30, but is 'yesterday'"),
        ("on:9999-12-31", "on must be a day"),
        ("x" * 100_000, "100,000 characters; at most 2,000"),
        (" ".join(map(str, range(101))), "101 words; at most 100"),
    ],
)
def test_what_is_not_understood_is_told_and_never_left_out(text: str, sentence: str):
    with pytest.raises(SearchRefused, match=sentence) as refusal:
        parsed(text)
    assert refusal.value.code == "E-SEARCH"


@pytest.mark.parametrize(
    "cursor", ["x", "1.0", "1.0~", "~a", "nan~a", "1-2~a", "1.0~../../etc", "1.0~a' OR 1=1", "9" * 500]
)
def test_a_cursor_that_is_none_is_refused(gallery: Gallery, cursor: str):
    with pytest.raises(SearchRefused, match="cursor of a page"):
        gallery.search("", after=cursor)


def test_every_field_is_named_where_an_unknown_one_is_refused():
    with pytest.raises(SearchRefused) as refusal:
        parsed("nonsense:x")
    assert [name for name in (*FIELDS, "deleted") if name not in refusal.value.message] == []
