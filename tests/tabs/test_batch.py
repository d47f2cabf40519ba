"""Several pictures at once, in the form and on the command line: a job for each, and one bad file spoils no other."""

import asyncio
import json
from pathlib import Path

import gradio as gr
import pytest
from PIL import Image

from pipelines.engine.errors import TooManyJobs
from pipelines.engine.jobs import Job
from presets.errors import UserError
from presets.requests import ImageToImage
from tabs.batch_form import BatchForm
from tabs.command_line import parse_arguments, run_request
from tabs.output import Output
from tabs.run import connect
from tests.fake_engine import FakeEngine


class Page:
    """A form that takes several pictures, over `engine`, and what happens on Generate."""

    def __init__(self, engine: FakeEngine):
        with gr.Blocks() as blocks:
            self.form = BatchForm(ImageToImage, engine.inputs)
            for name in ("image", "prompt", "steps"):
                self.form.widget(name)
            self.form.put_files()
            self.output = Output(self.form)
            connect(engine, self.form, self.output, gr.Button("Generate"), gr.Button("Cancel"))
        handlers = {event.name: event.fn for event in blocks.fns.values()}
        self.generate, self.stop, self.complaint = (handlers[name] for name in ("run", "stop", "complaint"))

    def run(self, files: list[dict], steps: int = 2) -> list[dict]:
        async def collect() -> list[dict]:
            return [update async for update in self.generate(None, None, "a boat", steps, files, ())]

        return asyncio.run(collect())

    def last(self, updates: list[dict], component: gr.blocks.Block):
        return [update[component] for update in updates if component in update][-1]


@pytest.fixture
def uploads(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    (tmp_path / "uploads").mkdir()
    return tmp_path / "uploads"


def uploaded(folder: Path, name: str, colour: str = "", size: tuple[int, int] = (64, 64)) -> dict:
    if colour:
        Image.new("RGB", size, colour).save(folder / name)
    else:
        (folder / name).write_text("no picture")
    return {"path": str(folder / name), "orig_name": name}


def test_each_file_is_a_job_and_all_pictures_come_into_one_place(tmp_path: Path, uploads: Path):
    engine = FakeEngine(tmp_path)
    page = Page(engine)
    files = [uploaded(uploads, "red.png", "red"), uploaded(uploads, "blue.png", "blue", (96, 64))]
    updates = page.run(files)
    assert [job.request.image.size for job in engine.submitted] == [(64, 64), (96, 64)]
    assert [saved.request.width for saved in page.last(updates, page.output.pictures)] == [96, 64]
    lines = [update[page.output.status] for update in updates if page.output.status in update]
    assert any("blue.png, 2 of 2 · Step" in line for line in lines)
    assert "2 pictures of 2 files" in lines[-1]


def test_a_bad_file_is_told_by_its_name_and_the_others_are_made(tmp_path: Path, uploads: Path):
    page = Page(FakeEngine(tmp_path))
    files = [uploaded(uploads, "<b>.png"), uploaded(uploads, "red.png", "red")]
    updates = page.run(files)
    told = page.last(updates, page.output.status)
    assert "1 picture of 2 files" in told and "&lt;b&gt;.png: " in told and "E-IMAGE-FORMAT" in told


def test_a_file_that_nobody_uploaded_is_refused(tmp_path: Path):
    Image.new("RGB", (64, 64)).save(tmp_path / "secret.png")
    engine = FakeEngine(tmp_path)
    page = Page(engine)
    updates = page.run([{"path": str(tmp_path / "secret.png"), "orig_name": "x.png"}])
    assert "Only a file that was uploaded here" in page.last(updates, page.output.status)
    assert engine.submitted == []


def test_what_is_wrong_with_all_is_told_at_once_and_a_missing_picture_is_not(tmp_path: Path, uploads: Path):
    page = Page(FakeEngine(tmp_path))
    files = [uploaded(uploads, "red.png", "red")]
    assert "E-STEPS" in page.complaint(None, "a boat", 0, files)
    assert page.complaint(None, "a boat", 2, files) == gr.skip()
    assert "choose one first" in page.complaint(None, "a boat", 2, None)


def test_cancel_stops_all_of_them(tmp_path: Path, uploads: Path):
    engine = FakeEngine(tmp_path, step_seconds=0.05)
    page = Page(engine)
    files = [uploaded(uploads, f"{colour}.png", colour) for colour in ("red", "blue", "green")]

    async def cancel_at_the_first_step() -> list[str]:
        lines = []
        async for update in page.generate(None, None, "a boat", 100, files, ()):
            lines.append(update.get(page.output.status, ""))
            if "Step 2" in lines[-1]:
                page.stop(update[page.output.job])
        return lines

    lines = asyncio.run(cancel_at_the_first_step())
    assert [job.state for job in engine.submitted] == ["cancelled"] * 3
    assert "Cancelled. 0 pictures of 3 files" in lines[-1]


def test_more_than_the_line_takes_follow_when_there_is_room(tmp_path: Path, uploads: Path):
    class Engine(FakeEngine):
        def submit(self, request: ImageToImage, *, owner: str = "", kept: bool = True) -> Job:
            if sum(not job.done for job in self.submitted) >= 2:
                raise TooManyJobs("2 of your jobs wait, which is the limit.")
            return super().submit(request, owner=owner, kept=kept)

    page = Page(Engine(tmp_path, step_seconds=0.02))
    updates = page.run([uploaded(uploads, f"{number}.png", "red") for number in range(5)])
    assert "5 pictures of 5 files" in page.last(updates, page.output.status)


def test_waiting_jobs_of_a_batch_count_as_watched(tmp_path: Path, uploads: Path):
    engine = FakeEngine(tmp_path, step_seconds=0.02)
    page, seen = Page(engine), []

    async def look() -> None:
        files = [uploaded(uploads, f"{colour}.png", colour) for colour in ("red", "blue")]
        async for update in page.generate(None, None, "a boat", 2, files, ()):
            if "Step 1" in update.get(page.output.status, ""):
                seen.append([job.is_watched for job in engine.submitted])

    asyncio.run(look())
    assert seen[0] == [True, True]
    assert not any(job.is_watched for job in engine.submitted)


def line(*more: str) -> list[str]:
    return ["image-to-image", "--prompt", "a boat", "--steps", "2", *more]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, colour in (("b.png", "blue"), ("a.jpg", "red")):
        Image.new("RGB", (64, 64), colour).save(folder / name)
    (folder / "notes.txt").write_text("not looked at")
    return folder


def test_the_command_line_takes_files_and_folders_in_their_order(tmp_path: Path, photos: Path, capsys):
    engine = FakeEngine(tmp_path / "pictures")
    given = [str(photos / "b.png"), str(photos)]
    assert run_request(engine, parse_arguments(line("--image", *given, "--output", str(tmp_path / "x.png")))) == 0
    images = [engine.inputs.open(job.request.image).getpixel((5, 5))[2] > 100 for job in engine.submitted]
    assert images == [True, False, True]
    assert capsys.readouterr().out.splitlines() == [str(tmp_path / f"x-{number}.png") for number in (1, 2, 3)]


def test_on_the_command_line_a_bad_file_is_told_by_its_name_and_the_others_are_made(tmp_path, photos, capsys):
    engine = FakeEngine(tmp_path / "pictures")
    (photos / "aa.png").write_text("no picture")
    assert run_request(engine, parse_arguments(line("--image", str(photos), "--json", "--quiet"))) == 2
    shown = capsys.readouterr()
    assert shown.err.count("\n") == 1 and "aa.png" in shown.err and "E-IMAGE-FORMAT" in shown.err
    told = json.loads(shown.out)
    assert [Path(one["file"]).name for one in told] == ["a.jpg", "aa.png", "b.png"]
    assert [len(one.get("pictures", ())) for one in told] == [1, 0, 1] and "E-IMAGE" in told[1]["problem"]


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (["--image", "photos", "--steps", "0"], "E-STEPS"),
        (["--image", "photos", "--output", "photos/x.gif"], "E-OUTPUT"),
        (["--image", "empty", "photos"], "E-IMAGE-MISSING"),
    ],
)
def test_what_is_wrong_with_all_is_told_once_before_anything_runs(tmp_path, photos, monkeypatch, capsys, more, code):
    monkeypatch.chdir(photos.parent)
    (tmp_path / "empty").mkdir()
    engine = FakeEngine(tmp_path / "pictures")
    assert run_request(engine, parse_arguments(line(*more))) == 2
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1 and shown.endswith(f"[{code}]\n") and engine.submitted == []


def test_a_failing_job_leaves_the_next_one_its_turn(tmp_path, photos, capsys):
    engine = FakeEngine(tmp_path / "pictures", failure=UserError("Too bad.", code="E-SOME"))
    assert run_request(engine, parse_arguments(line("--image", str(photos)))) == 1
    assert len(engine.submitted) == 2 and capsys.readouterr().err.count("Too bad. [E-SOME]") == 2
