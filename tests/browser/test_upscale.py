from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Page, expect

from presets.metadata import read_request


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    image = Image.new("RGB", (96, 64), (120, 170, 230))
    ImageDraw.Draw(image).ellipse((20, 10, 60, 50), fill=(200, 40, 30))
    image.save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_a_picture_is_made_larger_and_lies_beside_the_one_before(page: Page, photo: Path, pictures: Path):
    page.get_by_role("tab", name="Upscale").click()
    page.set_input_files("#upscale-image input[type=file]", photo)
    expect(page.locator("#upscale-size")).to_contain_text("96 × 64 becomes 192 × 128 pixels.")
    page.locator("#upscale-presets [data-preset='02-four']").click()
    expect(page.locator("#upscale-size")).to_contain_text("becomes 384 × 256 pixels.")
    page.click("#upscale-generate")
    expect(page.locator("#upscale-status")).to_contain_text("1 picture in")
    expect(page.locator("#upscale-slider img")).to_have_count(2)
    for image in page.locator("#upscale-slider img").all():
        expect(image).to_have_js_property("naturalWidth", 384)
    saved = max(pictures.rglob("*-upscale-*.png"), key=lambda path: path.stat().st_mtime)
    assert Image.open(saved).size == (384, 256)
    assert read_request(saved).request.upscaler == "storybook-x2"


def test_several_pictures_are_made_larger_in_one_go_and_a_bad_one_is_named(page: Page, photo: Path, tmp_path: Path):
    Image.new("RGB", (48, 32), "teal").save(tmp_path / "second.png")
    (tmp_path / "third.png").write_text("no picture")
    page.get_by_role("tab", name="Upscale").click()
    page.locator("#upscale-batch button").first.click()
    files = [photo, tmp_path / "second.png", tmp_path / "third.png"]
    page.set_input_files("#upscale-files input[type=file]", files)
    expect(page.locator("#upscale-size")).to_contain_text("3 pictures, each 2 times as large.")
    page.click("#upscale-generate")
    expect(page.locator("#upscale-status")).to_contain_text("2 pictures of 3 files")
    expect(page.locator("#upscale-status")).to_contain_text("third.png: ")
    expect(page.locator("#upscale-session-pictures img")).to_have_count(2)


def test_a_drawing_is_sent_on_to_be_made_larger_and_back(page: Page):
    page.fill("#text-to-image-prompt textarea", "a red house by the sea at sunset")
    page.click("#text-to-image-generate")
    expect(page.locator("#text-to-image-stage .stage.finished img")).to_be_visible(timeout=120_000)
    page.click("#text-to-image-send-to-upscale")
    expect(page.locator("#upscale-size")).to_contain_text("128 × 128 becomes")
    page.click("#upscale-generate")
    expect(page.locator("#upscale-slider img")).to_have_count(2)
    page.click("#upscale-send-to-image-to-image")
    expect(page.locator("#image-to-image-image img")).to_be_visible()


def test_without_a_picture_one_is_asked_for(page: Page):
    page.get_by_role("tab", name="Upscale").click()
    page.click("#upscale-generate")
    expect(page.locator("#upscale-status")).to_contain_text("Picture is missing: choose one first.")
