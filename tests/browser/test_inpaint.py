"""A mask painted with the mouse over the house of a picture: another house there, and nothing else changes."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from pipelines.engine.jobs import Engine
from presets.metadata import read_request
from presets.requests import TextToImage
from training.judge import load_judge


@pytest.fixture(scope="module")
def scene(engine: Engine) -> Path:
    """A red house that the starter has drawn."""
    (saved,) = engine.submit(TextToImage(prompt="a red house by the sea at sunset", seed=7)).result()
    return saved.path


def house(scene: Path) -> tuple[float, float, float, float]:
    """Where the red is: left, top, right and bottom as shares of the sides."""
    pixels = np.asarray(Image.open(scene), int)
    red = (pixels[..., 0] - pixels[..., 1:].max(axis=-1) > 90) & (pixels[..., 1] < 100)  # and not orange
    rows, columns = np.flatnonzero(red.any(axis=1)), np.flatnonzero(red.any(axis=0))
    height, width = red.shape
    return columns[0] / width, rows[0] / height, columns[-1] / width, rows[-1] / height


def paint(page: Page, area: tuple[float, float, float, float]) -> None:
    """Paint over `area` of the picture in the editor, line by line."""
    editor = page.locator("#inpaint-mask")
    expect(editor).to_contain_text(re.compile(r"[2-9]\d\d%"))  # the picture fills its frame
    frame = editor.locator("canvas").first.bounding_box()
    zoom = re.search(r"(\d+)%", editor.inner_text())
    assert frame is not None and zoom is not None
    side = 128 * int(zoom[1]) / 100
    left, top = frame["x"] + (frame["width"] - side) / 2, frame["y"] + (frame["height"] - side) / 2
    for share in np.linspace(0.15, 0.85, 4):
        height = top + side * (area[1] + (area[3] - area[1]) * share)
        page.mouse.move(left + side * (area[0] + 0.05), height)
        page.mouse.down()
        page.mouse.move(left + side * (area[2] - 0.05), height, steps=6)
        page.mouse.up()


def test_a_blue_house_is_painted_over_the_red_one_and_nothing_else_changes(page: Page, scene: Path, pictures: Path):
    page.get_by_role("tab", name="Inpaint").click()
    page.set_input_files("#inpaint-image input[type=file]", scene)
    paint(page, house(scene))
    page.fill("#inpaint-prompt textarea", "a blue house by the sea at sunset")
    page.fill("#inpaint-seed input", "5")
    page.click("#inpaint-generate")
    expect(page.locator("#inpaint-status")).to_contain_text("1 picture in")
    expect(page.locator("#inpaint-status")).to_contain_text("0 px changed outside the mask")
    saved = max(pictures.rglob("*.png"), key=lambda path: path.stat().st_mtime)
    before, after = (np.asarray(Image.open(path).convert("RGB"), int) for path in (scene, saved))
    changed = (before != after).any(axis=-1)
    assert 0.1 < changed.mean() < 0.95
    with Image.open(scene) as first, Image.open(saved) as second:
        verdicts = load_judge().look([first.convert("RGB"), second.convert("RGB")])
    assert [verdict.things.get("house") for verdict in verdicts] == ["red", "blue"]
    assert read_request(saved).record["notes"] == ["0 px changed outside the mask"]


def test_without_paint_a_mask_is_asked_for(page: Page, scene: Path):
    page.get_by_role("tab", name="Inpaint").click()
    page.set_input_files("#inpaint-image input[type=file]", scene)
    expect(page.locator("#inpaint-image img")).to_be_visible()
    page.click("#inpaint-generate")
    expect(page.locator("#inpaint-status")).to_contain_text("A mask is missing: paint what is to be redrawn")
