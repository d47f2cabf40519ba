"""The local engine: the queue, the supervised worker process, cancel, and what a crash costs."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.engine.errors import LoraFamily, LoraNotFound, ModelNotFound
from pipelines.engine.jobs import Failed, Finished, Loading, Progress, Queued, Saved, Stopped, Warned
from pipelines.engine.local import LocalEngine
from pipelines.engine.store import JobStore
from presets.drawing import LoraUse
from presets.errors import InvalidField, UserError
from presets.gallery import Gallery
from presets.metadata import read_request
from presets.requests import TextToImage
from presets.settings import Settings
from tests.loras import of_sd1, save_lora
from tests.safetensors_files import write_safetensors
from tests.waiting import wait_until, workers

HOUSE = TextToImage(prompt="a red house by the sea at sunset", seed=7, steps=3)
LONG = HOUSE.model_copy(update={"steps": 150})


def pixels(saved: Saved) -> np.ndarray:
    with Image.open(saved.path) as image:
        return np.asarray(image).copy()


def test_a_job_reports_its_steps_and_ends_with_its_picture(real_engine):
    events = list(real_engine.submit(HOUSE).events())
    assert isinstance(events[0], Queued)
    steps = [event.step for event in events if isinstance(event, Progress)]
    assert steps == sorted(set(steps))
    assert {1, 3} <= set(steps)
    assert isinstance(events[-2], Saved)
    assert isinstance(events[-1], Finished)


def test_the_same_request_gives_the_same_pixels(real_engine):
    first, second = (real_engine.submit(HOUSE).result()[0] for _ in range(2))
    assert first.path != second.path
    assert np.array_equal(pixels(first), pixels(second))


def test_each_picture_of_a_batch_equals_the_one_that_its_own_request_makes(real_engine):
    pair = real_engine.submit(HOUSE.model_copy(update={"count": 2})).result()
    alone = real_engine.submit(pair[1].request).result()[0]
    assert pair[1].request.seed == 8
    assert np.array_equal(pixels(pair[1]), pixels(alone))


def test_a_restarted_engine_gives_the_same_pixels(real_engine, tmp_path):
    before = real_engine.submit(HOUSE).result()[0]
    other = LocalEngine(Settings(home=tmp_path, threads=1)).start()
    try:
        assert np.array_equal(pixels(other.submit(HOUSE).result()[0]), pixels(before))
    finally:
        other.close()


def test_the_in_process_engine_gives_the_same_pixels(real_engine, tmp_path):
    before = real_engine.submit(HOUSE).result()[0]
    other = LocalEngine(Settings(home=tmp_path, threads=1, in_process=True)).start()
    try:
        assert np.array_equal(pixels(other.submit(HOUSE).result()[0]), pixels(before))
    finally:
        other.close()


def test_a_cancelled_job_stops_within_a_step_and_the_next_is_as_if_nothing_happened(real_engine):
    expected = pixels(real_engine.submit(HOUSE).result()[0])
    job = real_engine.submit(LONG)
    for event in job.events():
        if isinstance(event, Progress):
            job.cancel()
    steps = [event.step for event in job.events() if isinstance(event, Progress)]
    assert isinstance(list(job.events())[-1], Stopped)
    assert steps[-1] <= 4
    assert np.array_equal(pixels(real_engine.submit(HOUSE).result()[0]), expected)


def test_a_waiting_job_can_be_cancelled_and_the_others_move_up(real_engine):
    running, second, third = (real_engine.submit(LONG, owner="me") for _ in range(3))
    before = real_engine.places("me")[third.id].position
    second.cancel()
    after = real_engine.places("me")[third.id].position
    third.cancel()
    running.cancel()
    assert [type(event) for event in second.events()][-1] is Stopped
    assert after == before - 1
    assert running.result() == second.result() == []


def test_a_watched_job_is_told_of_its_places(real_engine):
    jobs = [real_engine.submit(HOUSE.model_copy(update={"steps": 30 + number})) for number in range(3)]

    async def places() -> list[int]:
        return [event.position async for event in jobs[2].stream() if isinstance(event, Queued)]

    told = asyncio.run(places())
    assert told == sorted(told, reverse=True) and len(set(told)) > 1


def test_cancelling_twice_or_after_the_end_does_nothing(real_engine):
    job = real_engine.submit(HOUSE)
    job.result()
    job.cancel()
    job.cancel()
    assert isinstance(list(job.events())[-1], Finished)


def test_a_waiting_caller_of_the_stream_holds_no_thread(real_engine):
    async def watch():
        return [type(event) async for event in real_engine.submit(HOUSE).stream()]

    assert asyncio.run(watch())[-1] is Finished


def test_an_unknown_checkpoint_is_refused_before_the_queue_and_the_nearest_is_named(real_engine):
    with pytest.raises(ModelNotFound, match="storybook") as caught:
        real_engine.submit(HOUSE.model_copy(update={"checkpoint": "storybok"}))
    assert caught.value.code == "E-MODEL-MISSING"


def test_an_unknown_lora_is_refused_before_the_queue(real_engine):
    with pytest.raises(LoraNotFound, match="passwd") as caught:
        real_engine.submit(HOUSE.model_copy(update={"prompt": "a house <lora:../../etc/passwd:1>"}))
    assert caught.value.code == "E-LORA-UNKNOWN"


@pytest.fixture
def ink(settings, starter_pipe):
    """A LoRA with random weights for the starter."""
    path = save_lora(settings.model_roots[0], "style/Ink", of_sd1(starter_pipe), {"modelspec.trigger_phrase": "inky"})
    yield "style/Ink"
    path.unlink()


def test_a_lora_is_applied_under_its_listed_name_and_off_again_afterwards(real_engine, ink):
    def drawn(prompt):
        return real_engine.submit(HOUSE.model_copy(update={"prompt": prompt})).result()[0]

    before, saved = drawn("a house"), drawn("a house <lora:ink:1:0.5> <lora:INK:0.25>")
    assert saved.request.prompt == f"a house <lora:{ink}:1:0.5> <lora:{ink}:0.25>"
    assert any("added up to 1.25" in warning for warning in saved.warnings)
    assert (pixels(drawn(saved.request.prompt)) == pixels(saved)).all()
    assert (pixels(saved) != pixels(before)).any() and (pixels(drawn("a house")) == pixels(before)).all()


def test_loras_are_listed_with_what_their_files_tell(real_engine, ink):
    info = next(info for info in real_engine.loras() if info.name == ink)
    assert (info.kind, info.rank, info.trigger_words) == ("LoRA", 4, ("inky",))


def test_a_lora_for_other_models_is_refused_before_the_queue(real_engine, settings):
    tensors = {"lora_te1_x.diff": (1,), "lora_te2_x.diff": (1,)}
    path = write_safetensors(settings.model_roots[0] / "loras/xl.safetensors", tensors)
    with pytest.raises(LoraFamily, match="Stable Diffusion XL"):
        real_engine.submit(HOUSE.model_copy(update={"loras": (LoraUse(name="xl"),)}))
    path.unlink()


def test_what_was_warned_of_at_submit_is_told_after_the_place_and_saved_with_the_picture(real_engine):
    job = real_engine.submit(TextToImage(prompt="a\x00 house", seed=7, steps=1))
    events = list(job.events())
    assert [type(event) for event in events[:2]] == [Queued, Warned]
    (saved,) = job.saved
    assert list(saved.warnings) == job.warnings == read_request(saved.path).record["warnings"]
    assert "Control characters" in saved.warnings[0]


def test_a_picture_over_the_limit_of_the_machine_is_refused(tmp_path):
    engine = LocalEngine(Settings(home=tmp_path, pixel_limit=256 * 256))
    with pytest.raises(InvalidField, match="limit") as caught:
        engine.submit(HOUSE.model_copy(update={"width": 512, "height": 512}))
    assert caught.value.code == "E-SIZE"


@pytest.mark.parametrize(
    ("values", "field", "code"),
    [
        ({"hires_factor": 4}, "hires_factor", "E-SIZE"),
        ({"hires_factor": 1.5, "hires_upscaler": "nowhere"}, "hires_upscaler", "E-UPSCALER"),
        ({"hires_factor": 1.5, "width": 512, "height": 512}, "width", "E-SIZE"),
    ],
)
def test_what_a_hires_fix_cannot_do_is_told_of_its_own_fields(tmp_path, values, field, code):
    engine = LocalEngine(Settings(home=tmp_path, pixel_limit=256 * 256))
    with pytest.raises(UserError) as caught:
        engine.submit(HOUSE.model_copy(update=values))
    assert (caught.value.field, caught.value.code) == (field, code)


def test_a_full_queue_says_so(tmp_path):
    engine = LocalEngine(Settings(home=tmp_path, queue_limit=1))
    engine.submit(HOUSE)
    with pytest.raises(UserError) as caught:
        engine.submit(HOUSE)
    assert caught.value.code == "E-BUSY"


def kill_once_it_draws(job, picture=1):
    wait_until(lambda: any(isinstance(event, Progress) and event.picture == picture for event in job._events), 150)
    for process in workers():
        os.kill(process.pid, signal.SIGKILL)


def test_the_job_of_a_killed_worker_is_begun_once_more_and_makes_no_picture_again(real_engine, settings):
    wanted = HOUSE.model_copy(update={"steps": 40, "count": 2})
    job = real_engine.submit(wanted)
    kill_once_it_draws(job, picture=2)
    saved = job.result()
    assert [picture.index for picture in saved] == [0, 1]
    made = [read_request(path).request for path in settings.pictures.rglob("*.png")]
    assert len([request for request in made if isinstance(request, TextToImage) and request.steps == 40]) == 2
    alone = real_engine.submit(saved[1].request).result()[0]
    assert np.array_equal(pixels(saved[1]), pixels(alone))


def test_a_job_whose_worker_is_killed_twice_fails_with_a_sentence_and_the_next_job_works(real_engine):
    expected = pixels(real_engine.submit(HOUSE).result()[0])
    job = real_engine.submit(LONG)
    kill_once_it_draws(job)
    begun = len(job._events)
    wait_until(lambda: any(isinstance(event, Progress) for event in job._events[begun + 5 :]), 150)
    for process in workers():
        os.kill(process.pid, signal.SIGKILL)
    failure = list(job.events())[-1]
    assert isinstance(failure, Failed)
    assert failure.code == "E-WORKER"
    events = list(real_engine.submit(HOUSE).events())
    assert any(isinstance(event, Loading) for event in events)
    assert isinstance(events[-1], Finished)
    assert np.array_equal(pixels(events[-2]), expected)


@pytest.mark.parametrize("in_process", [False, True])
def test_a_worker_that_cannot_start_stops_the_engine_with_a_reason(tmp_path, in_process):
    settings = Settings(home=tmp_path, in_process=in_process)
    engine = LocalEngine(settings, runners="no_such_module:RUNNERS")
    job = engine.submit(HOUSE)
    engine.start()
    try:
        failure = list(job.events())[-1]
        wait_until(lambda: engine.status().state == "stopped")
        assert isinstance(failure, Failed)
        assert "output" in engine.status().detail
    finally:
        engine.close()


def test_jobs_that_are_written_down_outlive_a_worker_that_cannot_start(tmp_path):
    settings, table = Settings(home=tmp_path, threads=1, in_process=True), tmp_path / "1.sqlite"
    broken = LocalEngine(settings, runners="no_such_module:RUNNERS", store=JobStore(table))
    job = broken.submit(HOUSE)
    broken.start()
    assert isinstance(list(job.events())[-1], Failed)
    broken.close()
    with next_program(settings, table) as engine:
        assert engine.job(job.id).result()


def test_closing_an_engine_that_was_never_started_tells_those_who_wait(tmp_path):
    engine = LocalEngine(Settings(home=tmp_path))
    job = engine.submit(HOUSE)
    engine.close()
    assert isinstance(list(job.events())[-1], Failed)


def test_a_setting_that_the_machine_cannot_follow_is_told_to_every_job(tmp_path):
    engine = LocalEngine(Settings(home=tmp_path, dtype="float16", device="cpu"))
    job = engine.submit(HOUSE)
    engine.start()
    try:
        failure = list(job.events())[-1]
        assert isinstance(failure, Failed)
        with pytest.raises(UserError) as caught:
            engine.submit(HOUSE)
        assert failure.code == caught.value.code == "E-DEVICE"
    finally:
        engine.close()


def test_a_request_that_the_worker_refuses_fails_its_job_and_not_the_worker(real_engine):
    (before,) = workers()
    wrong = HOUSE.model_copy(update={"steps": 0})  # as nothing that was validated can be
    assert isinstance(list(real_engine.submit(wrong).events())[-1], Failed)
    assert real_engine.submit(HOUSE).result()
    assert workers() == [before]


def test_the_previews_of_an_ended_job_are_not_kept(real_engine):
    job = real_engine.submit(HOUSE.model_copy(update={"steps": 20}))
    seen = [event for event in job.events() if isinstance(event, Progress) and event.preview]
    assert seen
    assert not [event for event in job.events() if isinstance(event, Progress) and event.preview]


def test_closing_the_engine_fails_what_waits_and_ends_the_worker(tmp_path):
    others = workers()
    engine = LocalEngine(Settings(home=tmp_path)).start()
    job = engine.submit(LONG)
    wait_until(lambda: len(workers()) > len(others))
    engine.close()
    assert isinstance(list(job.events())[-1], Failed)
    assert workers() == others


@contextmanager
def next_program(settings: Settings, table: Path) -> Iterator[LocalEngine]:
    """The engine of a program that takes up the jobs in `table`."""
    engine = LocalEngine(settings, store=JobStore(table)).start()
    try:
        yield engine
    finally:
        engine.close()


def test_an_index_that_cannot_be_read_costs_neither_the_job_that_was_cut_off_nor_the_next(tmp_path):
    settings, table = Settings(home=tmp_path, threads=1, in_process=True), tmp_path / "1.sqlite"
    before = LocalEngine(settings, store=JobStore(table))
    job = before.submit(HOUSE)
    before._ledger.take(frozenset())
    before._ledger.close()
    (settings.pictures / "index.sqlite").mkdir(parents=True)
    with next_program(settings, table) as engine:
        assert engine.job(job.id).result() and engine.submit(HOUSE).result()


def test_a_picture_that_was_saved_while_the_program_was_closed_is_not_made_again(tmp_path):
    settings, table = Settings(home=tmp_path, threads=1, in_process=True), tmp_path / "1.sqlite"
    before = LocalEngine(settings, store=JobStore(table))
    job = before.submit(HOUSE)
    before._ledger.take(frozenset())
    before.close()
    path = Gallery(settings.pictures).add(Image.new("RGB", (128, 128)), job.request.picture(0), {"job": job.mark})
    with next_program(settings, table) as engine:
        assert [saved.path for saved in engine.job(job.id).result()] == [path]
    assert list(settings.pictures.rglob("*.png")) == [path]


PROMPTS = ("a red house by the sea", "a blue boat at night", "a green tree on a hill", "a yellow car on a road")


@contextmanager
def engine_with(home: Path, **values) -> Iterator[LocalEngine]:
    engine = LocalEngine(Settings(home=home, threads=1, in_process=True, **values)).start()
    try:
        yield engine
    finally:
        engine.close()


def waiting_together(engine: LocalEngine, **values):
    """Jobs that differ in their words, waiting behind another one."""
    engine.submit(HOUSE)
    jobs = [engine.submit(HOUSE.model_copy(update={"prompt": prompt, **values})) for prompt in PROMPTS]
    return jobs, [job.result()[0] for job in jobs]


def batch_of(saved: Saved) -> int:
    return read_request(saved.path).record.get("batch", 1)


def test_waiting_jobs_that_are_alike_are_drawn_at_once_and_each_has_its_own_picture(tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.together.MOST_SECONDS", 1e9)
    with engine_with(tmp_path / "a") as engine:
        jobs, together = waiting_together(engine)
        _, again = waiting_together(engine)
    with engine_with(tmp_path / "b", batch_limit=1) as engine:
        _, alone = waiting_together(engine)
    assert max(map(batch_of, together)) > 1 and max(map(batch_of, alone)) == 1
    assert len({job.id for job in jobs}) == len({saved.path for saved in together}) == len(PROMPTS)
    for one, two, three in zip(together, again, alone, strict=True):
        assert max(abs(pixels(each).astype(int) - pixels(three)).max() for each in (one, two)) <= 1


def test_where_drawing_at_once_fails_each_is_drawn_alone_and_it_is_not_tried_again(tmp_path, monkeypatch):
    calls = []

    def failing(*arguments):
        calls.append(arguments)
        raise RuntimeError("not enough memory")

    monkeypatch.setattr("pipelines.together._denoised", failing)
    with engine_with(tmp_path) as engine:
        _, first = waiting_together(engine)
        _, second = waiting_together(engine)
    assert len(calls) == 1
    assert {batch_of(saved) for saved in (*first, *second)} == {1}


def test_one_of_those_drawn_at_once_can_be_cancelled(tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.together.MOST_SECONDS", 1e9)
    with engine_with(tmp_path) as engine:
        engine.submit(HOUSE)
        jobs = [engine.submit(LONG.model_copy(update={"prompt": prompt, "steps": 40})) for prompt in PROMPTS]
        wait_until(lambda: any(isinstance(event, Progress) for event in [jobs[2].last_event]))
        jobs[2].cancel()
        assert isinstance(list(jobs[2].events())[-1], Stopped)
        assert all(job.result() for job in jobs if job is not jobs[2])
