import re
from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Page, expect

from pipelines.engine.jobs import Engine
from presets.metadata import read_request


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A turned photograph: 96 x 128 once it is upright."""
    image = Image.new("RGB", (128, 96), (120, 170, 230))
    ImageDraw.Draw(image).rectangle((40, 30, 90, 95), fill=(200, 40, 30))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "photo.jpg", exif=exif)
    return tmp_path / "photo.jpg"


def test_a_photograph_is_redrawn_and_its_settings_come_back(page: Page, photo: Path, pictures: Path):
    page.get_by_role("tab", name="Image to image").click()
    page.set_input_files("#image-to-image-image input[type=file]", photo)
    page.fill("#image-to-image-prompt textarea", "a red castle by the sea")
    expect(page.locator("#image-to-image-image img")).to_be_visible()
    page.click("#image-to-image-generate")
    expect(page.locator("#image-to-image-status")).to_contain_text("1 picture in")
    saved = max(pictures.rglob("*.png"), key=lambda path: path.stat().st_mtime)
    assert Image.open(saved).size == (96, 128)
    page.fill("#image-to-image-prompt textarea", "another")
    page.click("#image-to-image-reuse-settings")
    expect(page.locator("#image-to-image-prompt textarea")).to_have_value("a red castle by the sea")
    page.click("#image-to-image-generate")
    expect(page.locator("#image-to-image-session-pictures img")).to_have_count(2)
    again = max(pictures.rglob("*.png"), key=lambda path: path.stat().st_mtime)
    assert read_request(again).request == read_request(saved).request


def test_what_is_painted_on_the_picture_is_redrawn_with_it(page: Page, tmp_path: Path, pictures: Path, engine: Engine):
    Image.new("RGB", (128, 128), "white").save(tmp_path / "white.png")
    page.get_by_role("tab", name="Image to image").click()
    page.set_input_files("#image-to-image-image input[type=file]", tmp_path / "white.png")
    expect(page.locator("#image-to-image-image img")).to_be_visible()
    page.locator("#image-to-image-sketch-panel button").first.click()
    editor = page.locator("#image-to-image-sketch")
    expect(editor).to_contain_text(re.compile(r"[2-9]\d\d%"))  # the picture fills its frame
    frame = editor.locator("canvas").first.bounding_box()
    assert frame is not None
    middle = frame["x"] + frame["width"] / 2, frame["y"] + frame["height"] / 2
    page.mouse.move(middle[0] - 60, middle[1])
    page.mouse.down()
    page.mouse.move(middle[0] + 60, middle[1], steps=8)
    page.mouse.up()
    page.fill("#image-to-image-prompt textarea", "a red boat on the sea by day")
    page.click("#image-to-image-generate")
    expect(page.locator("#image-to-image-status")).to_contain_text("1 picture in")
    saved = max(pictures.rglob("*.png"), key=lambda path: path.stat().st_mtime)
    given = engine.inputs.open(read_request(saved).request.image)
    assert given.getpixel((64, 64)) == (0xE0, 0x31, 0x31) and given.getpixel((5, 5)) == (255, 255, 255)


def test_without_a_picture_one_is_asked_for(page: Page):
    page.get_by_role("tab", name="Image to image").click()
    page.fill("#image-to-image-prompt textarea", "a boat")
    page.click("#image-to-image-generate")
    expect(page.locator("#image-to-image-status")).to_contain_text("Picture is missing: choose one first.")


def test_a_result_is_sent_to_another_tab_with_what_made_it(page: Page):
    page.fill("#text-to-image-prompt textarea", "a red house by the sea at sunset")
    page.fill("#text-to-image-seed input", "7")
    page.click("#text-to-image-generate")
    expect(page.locator("#text-to-image-stage .stage.finished img")).to_be_visible(timeout=120_000)
    page.click("#text-to-image-send-to-image-to-image")
    expect(page.locator("#image-to-image-image img")).to_be_visible()
    expect(page.locator("#image-to-image-prompt textarea")).to_have_value("a red house by the sea at sunset")
    expect(page.locator("#image-to-image-seed input")).to_have_value("7")
