"""The preview of a control picture: what the button asks for, and what is shown of it."""

import asyncio
from pathlib import Path

import gradio as gr
import pytest

from presets.errors import InvalidField, UserError
from tabs import markup
from tabs.control_preview import RESOLUTION, asked_for, preview
from tests.fake_engine import FakeEngine
from tests.scenes import house


class Page:
    """Widgets as a unit of a ControlNet has them, and the handler behind the button."""

    def __init__(self, folder: Path, **options):
        self.engine = FakeEngine(folder, **options)
        with gr.Blocks() as blocks:
            settings = {"image": gr.Image(), "preprocessor": gr.Dropdown(), "low_threshold": gr.Slider()}
            self.output, self.status = gr.Image(), gr.HTML()
            preview(self.engine, settings, gr.Button(), self.output, self.status)
        (self.click,) = (event.fn for event in blocks.fns.values())

    def run(self, *values) -> list[dict]:
        async def collect() -> list[dict]:
            return [updates async for updates in self.click(None, *values)]

        return asyncio.run(collect())


@pytest.fixture(autouse=True)
def uploads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))


@pytest.fixture
def photo(tmp_path: Path) -> dict[str, str]:
    house().save(tmp_path / "photo.png")
    return {"path": str(tmp_path / "photo.png")}


def test_the_button_makes_the_control_picture_and_shows_it(tmp_path, photo):
    page = Page(tmp_path / "pictures")
    updates = page.run(photo, "canny", 50)
    (job,) = page.engine.submitted
    assert (job.request.preprocessor, job.request.low_threshold, job.request.high_threshold) == ("canny", 50, 200)
    shown = next(update[page.output] for update in updates if page.output in update)
    assert shown["value"] == str(job.saved[0].path) and shown["visible"]
    assert updates[-1][page.status] == ""


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ((None, "canny", 50), "Picture is missing: choose one first. [E-IMAGE]"),
        (("photo", "mlsd", 50), "mlsd needs weights. [E-PREPROCESSOR-MISSING]"),
        (("photo", "canny", 200), "The low threshold is 200 and the high threshold 200"),
        (("photo", "sketch", 50), "Preprocessor cannot be &#x27;sketch&#x27;"),
        (({"path": "/etc/passwd"}, "canny", 50), "Only a file that was uploaded here can be used."),
    ],
)
def test_what_is_wrong_stands_beside_it_and_nothing_is_queued(tmp_path, photo, values, sentence):
    page = Page(tmp_path / "pictures")
    (update,) = page.run(*(photo if value == "photo" else value for value in values))
    assert sentence in update[page.status] and page.output not in update
    assert page.engine.submitted == []


def test_a_job_that_fails_says_why(tmp_path, photo):
    page = Page(tmp_path / "pictures", failure=UserError("The disk is full.", code="E-DISK"))
    assert "The disk is full. [E-DISK]" in page.run(photo, "canny", 50)[-1][page.status]


def test_a_job_that_is_cancelled_elsewhere_says_so(tmp_path, photo):
    page = Page(tmp_path / "pictures", step_seconds=0.2)

    async def collect() -> list[dict]:
        seen = []
        async for updates in page.click(None, photo, "canny", 50):
            seen.append(updates)
            page.engine.submitted[0].cancel()
        return seen

    assert asyncio.run(collect())[-1] == {page.status: markup.notice("Cancelled.")}


def test_closing_the_page_cancels_the_job(tmp_path, photo):
    page = Page(tmp_path / "pictures", step_seconds=5)

    async def leave() -> None:
        updates = page.click(None, photo, "canny", 50)
        await anext(updates)
        await updates.aclose()

    asyncio.run(leave())
    (job,) = page.engine.submitted
    assert list(job.events())[-1].type == "stopped"


def test_a_large_picture_is_previewed_smaller_unless_a_resolution_is_chosen(tmp_path):
    engine = FakeEngine(tmp_path / "pictures")
    house(1024).save(tmp_path / "large.png")
    values = {"image": {"path": str(tmp_path / "large.png")}, "preprocessor": "canny"}
    assert asked_for(engine, values).picture_size == (RESOLUTION, RESOLUTION)
    assert asked_for(engine, values | {"resolution": "700"}).resolution == 700
    with pytest.raises(InvalidField, match="Resolution cannot be 'much'"):
        asked_for(engine, values | {"resolution": "much"})
