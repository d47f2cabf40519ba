import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from presets.gallery import Gallery
from presets.requests import TextToImage

SCRIPT = "<img src=x onerror='window.broken = 1'><script>window.broken = 1</script>"
PROMPTS = ("a red house", "a blue boat", "a castle in snow", SCRIPT)
OWN = 'checkpoint:="gallery test"'
BAR = ".gallery-bar [data-do={}]"


@pytest.fixture
def gallery(pictures: Path) -> Iterator[Gallery]:
    """Four pictures more than there were, the newest ones; they are gone afterwards."""
    gallery = Gallery(pictures)
    for seed, prompt in enumerate(PROMPTS):
        add(gallery, prompt, seed)
    yield gallery
    for picture in (*gallery.search(OWN), *gallery.search(f"{OWN} deleted:yes")):
        picture.path.unlink()
    gallery.rebuild()


def add(gallery: Gallery, prompt: str, seed: int) -> None:
    request = TextToImage(prompt=prompt, seed=seed, checkpoint="Gallery test", steps=7)
    gallery.add(Image.new("RGB", (200, 100), (50 * seed, 99, 99)), request, {})


@pytest.fixture
def opened(page: Page, gallery: Gallery) -> Page:  # noqa: ARG001 - it makes the pictures
    """The tab with those four pictures; whatever its scripts complain of is a failure."""
    page.errors = []  # type: ignore[attr-defined]
    page.on("pageerror", lambda error: page.errors.append(str(error)))  # type: ignore[attr-defined]
    page.get_by_role("tab", name="Gallery").click()
    page.fill(".gallery-filters [name=search]", OWN)
    expect(tiles(page)).to_have_count(4)
    return page


def tiles(page: Page) -> Locator:
    return page.locator(".gallery-tile")


def test_a_click_shows_a_picture_with_its_settings_and_sends_it_to_its_tab(opened: Page, gallery: Gallery):
    tiles(opened).first.click()
    expect(opened.locator("#gallery-details")).to_contain_text(SCRIPT)
    assert tiles(opened).first.get_attribute("title") == SCRIPT
    tiles(opened).nth(3).click()
    expect(opened.locator("#gallery-details")).to_contain_text("a red house")
    expect(opened.locator("#gallery-stage img")).to_be_visible()
    opened.set_viewport_size({"width": 390, "height": 844})
    assert opened.evaluate("document.documentElement.scrollWidth") <= 390
    opened.click("#gallery-send-to-text-to-image")
    expect(opened.locator("#text-to-image-prompt textarea")).to_have_value("a red house")
    expect(opened.locator("#text-to-image-steps input[type=number]")).to_have_value("7")
    opened.set_viewport_size({"width": 1440, "height": 950})
    add(gallery, "one that was made meanwhile", 4)
    opened.get_by_role("tab", name="Gallery").click()
    expect(tiles(opened)).to_have_count(5)
    tiles(opened).nth(0).locator("[data-toggle]").click()
    expect(opened.locator(".gallery-count")).to_have_text("2 of 5 pictures chosen")
    assert opened.evaluate("window.broken") is None
    assert opened.errors == []  # type: ignore[attr-defined]


def test_what_is_deleted_comes_back_by_undo_or_is_removed_with_the_trash(opened: Page, gallery: Gallery):
    tiles(opened).nth(0).click()
    tiles(opened).nth(2).click(modifiers=["Shift"])
    expect(opened.locator(".gallery-count")).to_have_text("3 of 4 pictures chosen")
    opened.click(BAR.format("delete"))
    expect(tiles(opened)).to_have_count(1)
    expect(opened.locator(".gallery-undo")).to_contain_text("3 pictures deleted.")
    opened.click(".gallery-undo [data-do=undo]")
    expect(tiles(opened)).to_have_count(4)
    tiles(opened).nth(0).click()
    opened.keyboard.press("Delete")
    expect(tiles(opened)).to_have_count(3)
    opened.select_option(".gallery-filters [name=view]", "trash")
    expect(tiles(opened)).to_have_count(1)
    opened.on("dialog", lambda dialog: dialog.accept())
    opened.click(BAR.format("empty"))
    expect(opened.locator(".gallery-empty")).to_have_text("No picture is found.")
    assert gallery.count(OWN) == 3


def test_two_pictures_are_compared_under_a_slider_and_downloaded_as_a_zip_file(opened: Page):
    tiles(opened).nth(1).click()
    tiles(opened).nth(2).locator("[data-toggle]").click()
    opened.click(BAR.format("compare"))
    pair = opened.locator(".gallery-pair")
    expect(pair.locator("img").first).to_be_visible()
    opened.locator(".gallery-compare input").focus()
    opened.keyboard.press("End")
    assert pair.evaluate("pair => pair.style.getPropertyValue('--cut')") == "100%"
    expect(opened.locator(".gallery-compare")).to_contain_text("Seed 1")
    opened.keyboard.press("Escape")
    expect(opened.locator(".gallery-compare")).to_be_hidden()
    with opened.expect_download() as waiting:
        opened.click(BAR.format("zip"))
    with zipfile.ZipFile(waiting.value.path()) as archive:
        assert archive.testzip() is None and len(archive.namelist()) == 2
    assert re.fullmatch(r"easel-[\d-]+\.zip", waiting.value.suggested_filename)


def test_stars_and_boards_narrow_the_list_by_the_keyboard_alone(opened: Page):
    tiles(opened).nth(0).focus()
    opened.keyboard.press("Space")
    opened.keyboard.press("Shift+ArrowRight")
    opened.locator(BAR.format("star")).press("Enter")
    expect(opened.locator(".gallery-tile.starred")).to_have_count(2)
    opened.locator(BAR.format("board")).press("Enter")
    opened.locator(".gallery-boards input").fill("<b>To print</b>")
    opened.keyboard.press("Enter")
    expect(opened.locator(".gallery-boards")).to_be_hidden()
    opened.select_option(".gallery-filters [name=view]", "starred")
    expect(tiles(opened)).to_have_count(2)
    opened.select_option(".gallery-filters [name=view]", "board <b>To print</b>")
    expect(tiles(opened)).to_have_count(2)
    opened.fill(".gallery-filters [name=search]", "checkpont:x")
    expect(opened.locator(".gallery-view > .gallery-problem")).to_contain_text("Did you mean checkpoint?")
