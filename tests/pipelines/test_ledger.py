"""Jobs of an engine without its worker: what is asked of their places, and what a restart leaves of them."""

import asyncio
import math
import time

import pytest
from PIL import Image

from pipelines.engine.errors import WorkerDied
from pipelines.engine.jobs import Event, Failed, Finished, Job, Queued, Saved, Stopped
from pipelines.engine.ledger import ALL_TRIES, KEPT_JOBS, SUSPECT_TRIES, Ledger
from pipelines.engine.store import JobStore
from presets.errors import UserError
from presets.gallery import Gallery
from presets.requests import TextToImage

HOUSE = TextToImage(prompt="a house", checkpoint="Storybook", width=64, height=64, seed=7, count=2)
DIED = WorkerDied(1)
TIMINGS = {"denoise": 2.0}


def nothing(_: Job) -> None:
    pass


class Program:
    """A ledger over the table in a folder, as one run of the program has it."""

    def __init__(self, folder):
        self.store = JobStore(folder / "1.sqlite")
        self.ledger = Ledger(self.store)
        self.ledger.restore(nothing, "libraries")

    def accept(self, owner: str = "me", *, kept: bool = True) -> Job:
        job = Job(HOUSE, nothing, owner=owner, kept=kept)
        self.ledger.accept(job, "", ()).result()
        return job

    def begun(self) -> Job:
        job = next(iter(self.ledger.take(frozenset())), None)
        assert job is not None
        return job


@pytest.fixture
def program(tmp_path):
    program = Program(tmp_path)
    yield program
    program.store.close()


def restarted(program: Program, folder) -> Program:
    """The next run, after one that was killed or closed."""
    program.store.close()
    return Program(folder)


def closed(program: Program) -> None:
    program.ledger.suspend(UserError("The program is being closed."))
    program.ledger.close()


def end(program: Program, job: Job) -> None:
    program.ledger.put(job, Finished(timings={"total": 2.0}))


def test_queued_jobs_run_on_in_order_after_a_restart(program, tmp_path):
    jobs = [program.accept() for _ in range(3)]
    program.ledger.move_up(jobs[2])
    after = restarted(program, tmp_path).ledger
    assert [job.id for job in after.line] == [jobs[0].id, jobs[2].id, jobs[1].id]
    assert isinstance(next(iter(after.line)).last_event, Queued)


def test_a_job_that_ran_is_next_until_four_programs_died_of_it_and_then_the_last(program, tmp_path):
    job, other = program.accept(), program.accept()
    for tries in range(1, SUSPECT_TRIES + 1):
        assert (program.begun().id, program.ledger.current.tries) == (job.id, tries)
        program = restarted(program, tmp_path)
    assert program.begun().id == other.id
    assert [waiting.id for waiting in restarted(program, tmp_path).ledger.line] == [other.id, job.id]


def test_a_job_that_programs_go_on_dying_of_fails(program, tmp_path):
    job = program.accept()
    for tries in range(1, ALL_TRIES + 1):
        assert (program.begun().id, program.ledger.current.tries) == (job.id, tries)
        program = restarted(program, tmp_path)
    assert len(program.ledger.line) == 0
    failed = program.ledger.find(job.id)
    assert failed and isinstance(failed.last_event, Failed) and failed.last_event.code == "E-WORKER"


def test_a_job_that_gets_further_each_time_is_begun_again_and_again(program, tmp_path):
    job = program.accept()
    for _ in range(ALL_TRIES):
        program.begun()
        program.ledger.put(program.ledger.current, Saved(index=0, path="x.png", request=HOUSE.picture(0)))
        program.ledger.put_back(DIED, "")
        program.begun()
        program = restarted(program, tmp_path)
    assert program.begun().id == job.id


def test_a_worker_that_dies_a_second_time_fails_the_job_but_one_of_a_program_before_counts_not(program, tmp_path):
    program.accept()
    program.begun()
    program.ledger.put_back(DIED, "")
    program.begun()
    after = restarted(program, tmp_path)
    job = after.begun()
    after.ledger.put_back(DIED, "")
    assert not job.done
    after.begun()
    after.ledger.put_back(DIED, "")
    assert isinstance(job.last_event, Failed) and job.last_event.code == "E-WORKER"


def test_a_program_that_is_closed_counts_no_try(program, tmp_path):
    program.accept()
    running = program.begun()
    closed(program)
    assert isinstance(running.last_event, Failed)
    after = Program(tmp_path)
    again = after.begun()
    assert again.tries == 1 and after.ledger.may_have_saved(again)


def test_a_job_that_was_moved_back_between_two_closed_programs_still_finds_its_pictures(program, tmp_path):
    first, second = program.accept(), program.accept()
    program.begun()
    gallery = Gallery(tmp_path / "pictures")
    path = gallery.add(
        Image.new("RGB", (64, 64)), HOUSE.picture(0), {"job": first.mark, "timings": TIMINGS}, owner="me"
    )
    closed(program)
    program = Program(tmp_path)
    program.ledger.move_up(program.ledger.find(second.id))
    closed(program)
    program = Program(tmp_path)
    job = next(job for job in (program.begun(), program.begun()) if job.id == first.id)
    assert program.ledger.may_have_saved(job)
    program.ledger.find_saved(job, gallery)
    assert [(saved.path, saved.timings) for saved in job.saved] == [(path, TIMINGS)]


def test_a_job_that_a_closed_program_had_begun_is_next_and_stays_so_when_that_is_closed_too(program, tmp_path):
    first, _ = program.accept(), program.accept()
    program.begun()
    closed(program)
    second = Program(tmp_path)
    closed(second)
    third = Program(tmp_path)
    again = third.begun()
    assert again.id == first.id and again.tries == 1 and third.ledger.may_have_saved(again)


def test_pictures_that_were_saved_and_not_told_of_are_found(program, tmp_path):
    job = program.accept()
    gallery = Gallery(tmp_path / "pictures")
    gallery.add(Image.new("RGB", (64, 64)), HOUSE.picture(0), {"job": "another"}, owner=job.owner)
    path = gallery.add(Image.new("RGB", (64, 64)), HOUSE.picture(0), {"job": job.mark}, owner=job.owner)
    gallery.add(Image.new("RGB", (64, 64)), HOUSE.picture(0), {}, owner=job.owner)
    program.begun()
    program.ledger.put_back(DIED, "")
    program.ledger.find_saved(program.begun(), gallery)
    assert [(saved.index, saved.path) for saved in job.saved] == [(0, path)]


def test_pictures_of_another_job_with_the_same_request_are_no_pictures_of_a_job(program, tmp_path):
    job, other = program.accept(), program.accept()
    gallery = Gallery(tmp_path / "pictures")
    gallery.add(Image.new("RGB", (64, 64)), HOUSE.picture(0), {"job": other.mark}, owner="me")
    program.ledger.find_saved(job, gallery)
    assert job.saved == []


def test_a_cut_off_job_that_was_cancelled_is_not_begun_again(program):
    job = program.accept()
    program.begun()
    program.ledger.cancel(job)
    program.ledger.put_back(DIED, "")
    assert isinstance(job.last_event, Stopped) and len(program.ledger.line) == 0


def test_what_became_of_a_job_is_known_after_it_left_memory(program):
    first = program.accept()
    end(program, program.begun())
    for _ in range(KEPT_JOBS):
        program.accept()
        end(program, program.begun())
    assert first.id not in program.ledger._jobs
    found = program.ledger.find(first.id)
    assert found and found.state == "done"
    assert program.ledger.find("nothing") is None


def test_the_wait_is_estimated_from_like_jobs(program):
    program.accept()
    assert program.ledger.places("me")
    first = program.begun()
    end(program, first)
    jobs = [program.accept() for _ in range(3)]
    assert [program.ledger.places("me")[job.id].seconds for job in jobs] == [0.0, 2.0, 4.0]


def test_a_job_that_nobody_waits_for_is_left_unless_it_is_kept(program):
    left, kept = program.accept(kept=False), program.accept()
    time.sleep(0.02)
    assert program.ledger.left_for(0.01, also_running=False) == [left]
    assert program.ledger.left_for(60, also_running=False) == []
    program.ledger.keep(left)
    assert program.ledger.left_for(0.01, also_running=False) == []
    assert kept.state == "queued"


def test_the_newest_of_an_owners_jobs_come_first_and_nobody_elses(program):
    jobs = [program.accept(), program.accept("you"), program.accept()]
    end(program, program.begun())
    assert [job.id for job in program.ledger.of("me")] == [jobs[2].id, jobs[0].id]


def test_what_was_done_is_counted(program):
    program.accept()
    job = program.begun()
    program.ledger.put(job, Saved(index=0, path="x.png", request=HOUSE.picture(0)))
    end(program, job)
    program.ledger.cancel(program.accept())
    program.ledger.put_back(DIED, "")
    tally = program.ledger.tally
    assert (tally.done, tally.cancelled, tally.failed, tally.pictures, tally.worker_deaths) == (1, 1, 0, 1, 1)


def test_a_disk_that_refuses_to_forget_is_asked_again_later(program, caplog):
    ended = program.accept()
    end(program, program.begun())
    ended.ended = 1.0
    program.store.update(ended)
    program.ledger._forgotten = -math.inf
    assert program.store.get(ended.id)
    program.store._connection.execute("PRAGMA query_only = 1")
    program.ledger.forget()
    program.store._connection.execute("PRAGMA query_only = 0")
    assert program.store.get(ended.id) and "could not be removed" in caplog.text
    program.ledger._forgotten = -math.inf
    program.ledger.forget()
    assert program.store.get(ended.id) is None


@pytest.mark.parametrize("first", [2, 9])
def test_who_has_had_all_events_of_an_ended_job_waits_for_none(first):
    job = Job(HOUSE, nothing, events=[Queued(position=1), Stopped()])

    async def rest() -> list[Event]:
        return [event async for event in job.stream(first)]

    assert asyncio.run(asyncio.wait_for(rest(), 5)) == []


@pytest.mark.parametrize(("together", "seconds"), [(1, 2.0), (4, 0.5)])
def test_what_jobs_take_is_learnt_of_their_share_where_they_were_drawn_together(program, together, seconds):
    first, second, third = (program.accept() for _ in range(3))
    program.begun()
    program.ledger.put(first, Finished(timings={"total": 2.0}, together=together))
    assert program.begun() is second
    assert program.ledger.places("me")[third.id].seconds == pytest.approx(seconds, abs=0.11)
