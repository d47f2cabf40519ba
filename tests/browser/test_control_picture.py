from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.scenes import house, near, outline


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    house().save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_a_picture_becomes_its_edges_and_another_preprocessor_has_other_parameters(
    page: Page, photo: Path, pictures: Path
):
    page.get_by_role("tab", name="Control picture").click()
    page.set_input_files("#control-picture-image input[type=file]", photo)
    expect(page.locator("#control-picture-image img")).to_be_visible()
    expect(page.locator("#control-picture-low-threshold")).to_be_visible()
    page.click("#control-picture-generate")
    expect(page.locator("#control-picture-status")).to_contain_text("1 picture in")
    saved = max(pictures.rglob("*-control-picture-*.png"), key=lambda path: path.stat().st_mtime)
    edges = np.asarray(Image.open(saved).convert("L")) > 127
    assert near(edges, 2)[outline()].mean() > 0.9
    page.click("#control-picture-presets [data-preset='07-silhouette']")
    expect(page.locator("#control-picture-threshold")).to_be_visible()
    expect(page.locator("#control-picture-low-threshold")).to_be_hidden()
    page.click("#control-picture-generate")
    expect(page.locator("#control-picture-session-pictures img")).to_have_count(2)
    expect(page.locator("#control-picture-details")).to_contain_text("threshold")


def test_thresholds_in_the_wrong_order_are_told(page: Page, photo: Path):
    page.get_by_role("tab", name="Control picture").click()
    page.set_input_files("#control-picture-image input[type=file]", photo)
    expect(page.locator("#control-picture-image img")).to_be_visible()
    page.fill("#control-picture-low-threshold input[type=number]", "250")
    page.click("#control-picture-generate")
    expect(page.locator("#control-picture-status")).to_contain_text("The low threshold is 250")
