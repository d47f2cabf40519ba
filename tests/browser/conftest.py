import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from pipelines.engine.jobs import Engine, Progress
from presets.requests import TextToImage
from tests.fake_engine import FakeEngine
from tests.served import served

playwright = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser tests")

QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


class PreviewingEngine(FakeEngine):
    """Shows a grey picture after the first step and then now and then."""

    def _progress(self, request: TextToImage, index: int, step: int) -> Progress:
        preview = io.BytesIO()
        Image.new("RGB", (8, 8), "grey").save(preview, "JPEG")
        shown = preview.getvalue() if step % 20 == 1 else None
        return super()._progress(request, index, step).model_copy(update={"preview": shown})


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the engine saves to."""
    return tmp_path_factory.mktemp("pictures")


@pytest.fixture(scope="session")
def engine(pictures: Path) -> Engine:
    """The engine behind the page of all browser tests."""
    return PreviewingEngine(pictures, step_seconds=0.05)


@pytest.fixture(scope="session")
def address(engine: Engine, pictures: Path) -> Iterator[str]:
    with served(engine, pictures) as address:
        yield address


@pytest.fixture(scope="session")
def context() -> Iterator["playwright.BrowserContext"]:
    """One browser for all tests, which keeps the page's parts in its cache."""
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
    page.set_default_timeout(20_000)
    page.goto(address)
    page.wait_for_selector("#generate")
    yield page
    page.close()
