import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.engine.jobs import Engine
from presets.requests import TextToImage
from presets.settings import Settings

playwright = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser tests")

PATIENCE = 60_000
"""Milliseconds that a page may take on a busy machine."""

QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@pytest.fixture(scope="session")
def pictures(settings: Settings) -> Path:
    """The folder that the engine saves to."""
    return settings.pictures


@pytest.fixture(scope="session")
def engine(real_engine: Engine) -> Engine:
    """The engine behind the page of all browser tests, its libraries loaded."""
    real_engine.submit(TextToImage(prompt="", steps=1)).result()
    return real_engine


@pytest.fixture(scope="session")
def address(engine: Engine, real_address: str) -> str:  # noqa: ARG001
    """Of the page, served by an engine that is ready."""
    return real_address


@pytest.fixture(scope="module")
def context() -> Iterator["playwright.BrowserContext"]:
    """One browser for the tests of a file, which keeps the page's parts in its cache.

    Closed after them: while it is open, its event loop counts as running, and no other test could start one.
    """
    playwright.expect.set_options(timeout=PATIENCE)
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip("no Chromium or Chrome is installed")
    with playwright.sync_playwright() as runner:
        browser = runner.chromium.launch(executable_path=program, args=list(QUIET))
        yield browser.new_context()
        browser.close()


@pytest.fixture
def page(context: "playwright.BrowserContext", address: str) -> Iterator["playwright.Page"]:
    """A freshly opened page, 1440 pixels wide."""
    page = context.new_page()
    page.set_viewport_size({"width": 1440, "height": 950})
    page.set_default_timeout(PATIENCE)
    page.goto(address)
    page.wait_for_selector("#text-to-image-generate")
    yield page
    page.close()
