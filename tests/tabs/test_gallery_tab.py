import re
from pathlib import Path

import gradio as gr
import pytest
from PIL import Image

from presets.gallery import Gallery
from presets.requests import TextToImage
from presets.settings import Settings
from presets.thumbnails import Thumbnails
from tabs.access import is_gallery_private
from tabs.gallery import SCRIPTS, saved_of
from tabs.gallery_markup import SKELETON
from tabs.page import build_page
from tabs.pictures import Pictures, pictures_of
from tabs.theme import FOLDER
from tests.fake_engine import FakeEngine

SCRIPT = "".join((FOLDER / name).read_text(encoding="utf-8") for name in SCRIPTS)


def pictures_in(tmp_path: Path, *, is_private: bool = False, trash_seconds: float = 3600) -> Pictures:
    shown = Gallery(tmp_path / "pictures"), Thumbnails(tmp_path / "thumbnails")
    return Pictures(*shown, is_private=is_private, trash_seconds=trash_seconds)


def test_the_page_has_a_gallery_where_there_are_pictures_to_show(tmp_path: Path):
    pages = [build_page(FakeEngine(tmp_path), pictures=shown) for shown in (None, pictures_in(tmp_path))]
    has = [any(isinstance(block, gr.Tab) and block.id == "gallery" for block in page.blocks.values()) for page in pages]
    assert has == [False, True]


def test_the_scripts_put_nothing_in_as_html_and_do_whatever_a_button_says():
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b", SCRIPT)
    for name in set(re.findall(r'data-do="(\w+)"', SKELETON)):
        assert re.search(rf"^  (async )?{name}[(:]", SCRIPT, re.MULTILINE), name


def test_trash_is_removed_for_good_after_its_time(tmp_path: Path):
    kept, swept = pictures_in(tmp_path), pictures_in(tmp_path, trash_seconds=-1)
    path = kept.gallery.add(Image.new("RGB", (8, 8)), TextToImage(prompt=""), {})
    (picture,) = kept.gallery.recent()
    kept.thumbnails.of(picture)
    kept.gallery.delete([picture.identifier])
    kept.sweep()
    assert path.exists()
    swept.sweep()
    assert not path.exists() and not list((tmp_path / "thumbnails").rglob("*.webp"))


@pytest.mark.parametrize(
    ("record", "timings"),
    [
        ({"timings": {"denoise": 1.5}, "warnings": ["Too bright."]}, {"denoise": 1.5}),
        ({"timings": "soon", "warnings": [1]}, {}),
        ({"timings": {"denoise": float("nan")}}, {}),
        ({}, {}),
    ],
)
def test_a_picture_tells_what_its_file_knows_of_how_it_was_made(tmp_path: Path, record: dict, timings: dict):
    gallery = Gallery(tmp_path)
    gallery.add(Image.new("RGB", (8, 8)), TextToImage(prompt="a boat"), record)
    saved = saved_of(gallery.recent()[0])
    assert (saved.timings, saved.request) == (timings, TextToImage(prompt="a boat"))
    assert saved.warnings == (("Too bright.",) if timings else ())


@pytest.mark.parametrize(
    ("values", "environment", "private"),
    [
        ({}, {}, False),
        ({"host": "127.0.0.1"}, {}, False),
        ({"host": "0.0.0.0"}, {}, True),
        ({"host": "0.0.0.0", "private_gallery": "off"}, {}, False),
        ({"private_gallery": "on"}, {}, True),
        ({"share": True}, {}, True),
        ({"trusted_hosts": ("easel.example",)}, {}, True),
        ({"root_path": "/easel"}, {}, True),
        ({"auth": ("ann:secret",)}, {}, True),
        ({}, {"SPACE_ID": "me/easel"}, True),
        ({}, {"GRADIO_SERVER_NAME": "0.0.0.0"}, True),
    ],
)
def test_pictures_are_private_where_others_may_come(tmp_path, monkeypatch, values, environment, private):
    for name in ("SPACE_ID", "GRADIO_SERVER_NAME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = Settings(home=tmp_path, **values)
    assert is_gallery_private(settings) is pictures_of(settings).is_private is private


def test_nothing_happens_on_the_disk_until_the_gallery_is_used(tmp_path: Path):
    pictures_of(Settings(home=tmp_path / "home"))
    assert not (tmp_path / "home").exists()


def test_between_the_tabs_stands_nothing_else(tmp_path: Path):
    """The page takes a tab's place among its neighbours for its number, and shows those twice that it does not find."""
    page = build_page(FakeEngine(tmp_path), pictures=pictures_in(tmp_path))
    (tabs,) = [block for block in page.blocks.values() if getattr(block, "elem_id", None) == "tabs"]
    assert {type(child).__name__ for child in tabs.children} == {"Tab"}
