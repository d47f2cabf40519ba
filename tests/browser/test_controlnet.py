from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from presets.metadata import read_request
from training.evaluate_controlnet import AGREEMENT, agreement, questions
from training.outlines import outline_of

QUESTION = questions(12)[9]


@pytest.fixture
def outline(tmp_path: Path) -> Path:
    outline_of(QUESTION.stage, 128).save(tmp_path / "outline.png")
    return tmp_path / "outline.png"


def newest(pictures: Path) -> Path:
    return max(pictures.rglob("*.png"), key=lambda path: path.stat().st_mtime)


def test_an_outline_is_dropped_and_the_thing_is_drawn_there(page: Page, outline: Path, pictures: Path):
    page.get_by_role("tab", name="ControlNet").click()
    page.set_input_files("#controlnet-unit-1-picture input[type=file]", outline)
    page.fill("#controlnet-prompt textarea", QUESTION.prompt)
    page.fill("#controlnet-seed input", "9")
    expect(page.locator("#controlnet-unit-1-picture img")).to_be_visible()
    page.click("#controlnet-generate")
    expect(page.locator("#controlnet-status")).to_contain_text("1 picture in")
    saved = newest(pictures)
    (unit,) = read_request(saved).request.units
    assert unit.control == "storybook-outline"
    assert agreement(Image.open(saved), outline_of(QUESTION.stage, 128)) >= AGREEMENT


def test_a_control_picture_is_previewed_and_a_units_settings_count(page: Page, outline: Path, pictures: Path):
    page.get_by_role("tab", name="ControlNet").click()
    page.set_input_files("#controlnet-unit-1-picture input[type=file]", outline)
    expect(page.locator("#controlnet-unit-1-picture img")).to_be_visible()
    page.click("#controlnet-unit-1-preprocessor input")
    page.get_by_role("option", name="Invert").click()
    page.click("#controlnet-unit-1-preview")
    expect(page.locator("#controlnet-unit-1-preview-picture img")).to_be_visible()
    page.fill("#controlnet-unit-1-weight input[type=number]", "0.5")
    page.fill("#controlnet-prompt textarea", "a boat")
    page.fill("#controlnet-steps input[type=number]", "2")
    page.click("#controlnet-generate")
    expect(page.locator("#controlnet-status")).to_contain_text("1 picture in")
    (unit,) = read_request(newest(pictures)).request.units
    assert (unit.preprocessor, unit.weight) == ("invert", 0.5)


def test_without_a_picture_one_is_asked_for(page: Page):
    page.get_by_role("tab", name="ControlNet").click()
    page.fill("#controlnet-prompt textarea", "a boat")
    page.click("#controlnet-generate")
    expect(page.locator("#controlnet-status")).to_contain_text("A control unit is missing: give at least one")
