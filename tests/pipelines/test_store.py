"""The job table: what was accepted is on the disk, and can be read by the program's next run."""

import multiprocessing
import os
import sqlite3

import pytest

from pipelines.engine.jobs import Finished, Job, Queued, Saved, Stopped, Warned
from pipelines.engine.store import JobNotWritten, JobStore, open_store
from presets.requests import TextToImage

HOUSE = TextToImage(prompt="a house", checkpoint="Storybook", width=64, height=64, seed=7)


def nothing(_: Job) -> None:
    pass


def job(owner: str = "me", place: int = 1) -> Job:
    new = Job(HOUSE, nothing, owner=owner)
    new.put(Queued(position=1))
    new.place = place
    return new


@pytest.fixture
def store(tmp_path):
    store = JobStore(tmp_path / "1.sqlite")
    yield store
    store.close()


def reopened(store: JobStore, path) -> JobStore:
    store.close()
    return JobStore(path / "1.sqlite")


def test_an_accepted_job_is_read_again_after_a_restart(store, tmp_path):
    accepted = job()
    accepted.put(Warned(message="Mind the gap."))
    store.add(accepted).result()
    again = reopened(store, tmp_path)
    (found,) = again.unfinished(nothing)
    assert (found.id, found.owner, found.request, found.warnings) == (accepted.id, "me", HOUSE, ["Mind the gap."])
    assert found.state == "queued"
    again.close()


def test_what_ran_comes_before_what_waits_and_that_in_its_order(store):
    waiting, running = [job(place=place) for place in (3, 2)], job(place=9)
    running.started = 1.0
    for each in (*waiting, running):
        store.add(each).result()
    assert [found.id for found in store.unfinished(nothing)] == [running.id, waiting[1].id, waiting[0].id]


def test_an_ended_job_is_found_with_its_pictures(store, tmp_path):
    ended = job()
    store.add(ended).result()
    ended.put(Saved(index=0, path=tmp_path / "x.png", request=HOUSE))
    ended.put(Finished(timings={"total": 1.0}))
    store.update(ended)
    found = store.get(ended.id)
    assert found and found.state == "done" and found.saved == ended.saved
    assert store.unfinished(nothing) == []
    assert [each.id for each in store.ended_of("me", 10)] == [ended.id]
    assert store.ended_of("you", 10) == []


def test_what_ended_long_ago_is_forgotten(store):
    ended = job()
    store.add(ended).result()
    ended.ended = 100.0
    ended.put(Finished())
    store.update(ended)
    store.forget(before=99.0)
    assert store.get(ended.id)
    store.forget(before=101.0)
    assert store.get(ended.id) is None


def test_a_job_that_was_asked_to_stop_does_not_run_after_a_restart(store):
    running = job()
    running.started = 1.0
    store.add(running).result()
    running.is_cancelled = True
    store.update(running)
    assert store.unfinished(nothing) == []
    found = store.get(running.id)
    assert found and found.state == "cancelled" and list(found.lasting_events) == [Stopped()]
    assert [each.done for each in store.ended_of("me", 10)] == [True]


def test_a_full_disk_refuses_a_job_with_a_sentence_and_the_next_one_works(store):
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count = {pages}")
    large = Job(HOUSE.model_copy(update={"prompt": "a " * 10_000}), nothing)
    with pytest.raises(JobNotWritten, match="full") as caught:
        store.add(large).result()
    assert caught.value.code == "E-DISK"
    store._connection.execute("PRAGMA max_page_count = 100000")
    store.add(large).result()
    assert len(store.unfinished(nothing)) == 1


def test_a_damaged_table_is_put_aside(tmp_path):
    path = tmp_path / "1.sqlite"
    path.write_bytes(b"no database" * 1000)
    store = JobStore(path)
    store.add(job()).result()
    store.close()
    assert path.with_suffix(".damaged").exists()


def test_a_second_program_has_a_table_of_its_own_which_the_next_takes_over(tmp_path):
    first, second = open_store(tmp_path), open_store(tmp_path)
    second.add(job("second")).result()
    assert first.unfinished(nothing) == []
    second.close()
    first.close()
    third = open_store(tmp_path)
    assert [found.owner for found in third.unfinished(nothing)] == ["second"]
    third.close()
    assert [path.name for path in tmp_path.glob("*.sqlite")] == ["1.sqlite"]


def accept_and_die(path) -> None:
    store = JobStore(path)
    for place in range(50):
        store.add(job(place=place)).result()
    os.kill(os.getpid(), 9)


def test_no_accepted_job_is_lost_when_the_program_is_killed(tmp_path):
    path = tmp_path / "1.sqlite"
    process = multiprocessing.get_context("fork").Process(target=accept_and_die, args=(path,))
    process.start()
    process.join(30)
    store = JobStore(path)
    assert [found.place for found in store.unfinished(nothing)] == list(range(50))
    store.close()
    assert sqlite3.connect(path).execute("PRAGMA integrity_check").fetchone() == ("ok",)
