import re

import pytest
from playwright.sync_api import Page, expect

from tests.waiting import wait_until

ROW = "table.models tr[data-model=storybook]"
CHECKPOINT = "#text-to-image-checkpoint input"


@pytest.fixture
def models(page: Page) -> Page:
    """The page with the tab of models open."""
    page.get_by_role("tab", name="Models").click()
    expect(page.locator(ROW)).to_be_visible()
    return page


def test_a_model_is_loaded_kept_and_unloaded(models: Page):
    models.click(f"{ROW} button")
    if models.locator("#model-unload").is_enabled():
        models.click("#model-unload")
    expect(models.locator(f"{ROW} .badge")).to_have_text("disk")
    models.click("#model-load")
    expect(models.locator(f"{ROW} .badge")).to_have_text("RAM")
    in_memory = models.locator(".tier li").filter(has_text=re.compile("^storybook ·"))
    expect(in_memory).to_have_count(1)
    models.click("#model-keep")
    expect(models.locator("#model-keep")).to_have_text("Stop keeping")
    expect(in_memory).to_contain_text("kept")
    models.click("#model-unload")
    expect(models.locator(f"{ROW} .badge")).to_have_text("disk")
    expect(models.locator("#model-keep")).to_have_text("Keep in memory")


def test_the_list_of_checkpoints_tells_after_a_job_that_the_model_is_in_memory(page: Page, engine):
    engine.unload("storybook")
    wait_until(lambda: "storybook" not in {resident.name for resident in engine.memory().residents})
    page.reload()
    expect(page.locator(CHECKPOINT)).to_have_value(re.compile("storybook\\u2002· disk"))
    page.fill("#text-to-image-steps input[type=number]", "1")
    page.locator("#text-to-image-steps input[type=number]").press("Tab")
    page.click("#text-to-image-generate")
    expect(page.locator(CHECKPOINT)).to_have_value(re.compile("storybook\\u2002· RAM"))


def test_a_name_that_is_typed_stays(page: Page):
    page.fill(CHECKPOINT, "Storybook")
    page.locator(CHECKPOINT).press("Tab")
    page.fill("#text-to-image-steps input[type=number]", "1")
    page.locator("#text-to-image-steps input[type=number]").press("Tab")
    page.click("#text-to-image-generate")
    expect(page.locator("#text-to-image-status")).to_contain_text("1 picture in")


def test_a_phone_shows_the_models_without_sideways_scrolling(models: Page):
    models.set_viewport_size({"width": 390, "height": 844})
    expect(models.locator(ROW)).to_be_visible()
    assert models.evaluate("document.documentElement.scrollWidth") <= 390
