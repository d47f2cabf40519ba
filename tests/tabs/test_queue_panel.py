import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.engine.jobs import Failed, Job, Progress, Queued
from presets.gallery_files import identifier_of
from presets.requests import TextToImage
from tabs.queue_panel import do, line_of, table_of, where
from tests.fake_engine import FakeEngine


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[FakeEngine]:
    """One whose jobs do not end by themselves."""
    engine = FakeEngine(tmp_path, gate=threading.Event())
    yield engine
    engine.close()


def submitted(engine: FakeEngine, *prompts: str, owner: str = "me") -> list[Job]:
    return [engine.submit(TextToImage(prompt=prompt), owner=owner, kept=False) for prompt in prompts]


def test_own_jobs_stand_in_the_order_in_which_they_run(engine: FakeEngine):
    first, second, third = submitted(engine, "first", "second", "third")
    places = {second.id: Queued(position=5, seconds=80.0), third.id: Queued(position=2, seconds=None)}
    table = table_of([first, second, third], places)
    assert table.index("third") < table.index("second")
    assert "place 5, in about 80 s" in table and "place 2<" in table


def test_only_what_can_be_done_with_a_job_is_offered(engine: FakeEngine):
    first, second = submitted(engine, "first", "second")
    table = table_of([first, second], {first.id: Queued(position=1), second.id: Queued(position=2)})
    assert table.count('data-do="cancel"') == 2
    assert table.count('data-do="up"') == 1
    do(engine, "keep", first)
    assert table_of([first], {first.id: Queued(position=1)}).count('data-do="keep"') == 0


def test_others_are_counted_and_no_more(engine: FakeEngine):
    submitted(engine, "mine", "mine")
    submitted(engine, "a secret", owner="you")
    line = line_of(engine, len(engine.places("me")))
    assert "1 of your jobs waits, 1 of others" in line
    assert "at most 8 times" in line
    assert "secret" not in table_of(engine.jobs_of("me"), engine.places("me"))


def test_a_row_cancels_its_job_and_moves_it_up(engine: FakeEngine):
    (job,) = submitted(engine, "mine")
    do(engine, "up", job)
    assert engine.moved == [job.id]
    do(engine, "cancel", job)
    do(engine, "nonsense", job)
    list(job.events())
    assert 'class="cancelled"' in table_of([job], {})


def test_a_failed_job_says_why_and_nothing_is_html(engine: FakeEngine):
    (job,) = submitted(engine, "<b>a boat</b>")
    job.put(Failed(code="E-X", message="<i>No</i>."))
    assert where(job, None) == "<i>No</i>. [E-X]"
    table = table_of([job], {})
    assert "<b>a" not in table and "<i>No" not in table


def test_an_empty_list_has_words():
    assert "Your jobs" in table_of([], {})


def test_a_job_is_seen_by_its_preview_and_then_by_its_picture(engine: FakeEngine):
    (job,) = submitted(engine, "a boat")
    assert "<img" not in table_of([job], {})
    for step, preview in enumerate((b"\xff\xd8", None)):
        job.put(Progress(picture=1, pictures=1, step=step, steps=2, seconds=0.1, remaining=0.1, preview=preview))
    assert 'src="data:image/jpeg;base64,/9g="' in table_of([job], {})
    engine.gate.set()
    job.result()
    assert f'src="api/pictures/{identifier_of(job.saved[-1].path)}/thumbnail"' in table_of([job], {})
