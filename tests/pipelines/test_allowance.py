"""What one user may have drawn in an hour."""

import time

import pytest

from pipelines.engine.allowance import HOUR, Allowance
from pipelines.engine.errors import TooMuchWork
from pipelines.engine.jobs import Finished, Job, Stopped
from pipelines.engine.store import JobStore
from presets.images import ImageRef
from presets.requests import ImageToImage, TextToImage, Upscale

MEGAPIXEL_STEPS_4 = TextToImage(prompt="a boat", checkpoint="x", width=1000, height=1000, steps=2, count=2, seed=1)


class Clock:
    """Tells the `time` it was set to."""

    time = 1000.0

    def __call__(self) -> float:
        return self.time


def job(owner: str = "ann") -> Job:
    return Job(MEGAPIXEL_STEPS_4, lambda _: None, owner=owner)


@pytest.mark.parametrize(
    ("values", "work"),
    [
        ({}, 128 * 128 * 20),
        ({"steps": 5, "count": 3, "width": 64}, 64 * 128 * 5 * 3),
        ({"hires_factor": 2.0, "hires_strength": 0.5}, 128 * 128 * 20 + 256 * 256 * 10),
        ({"hires_factor": 2.0, "hires_strength": 0.5, "hires_steps": 4}, 128 * 128 * 20 + 256 * 256 * 2),
    ],
)
def test_work_is_pixels_times_the_steps_that_are_done(values: dict, work: float):
    assert TextToImage(prompt="x", **values).resolved("x", (128, 128)).work == work


def test_of_a_redrawing_its_strength_counts_and_of_other_kinds_the_pixels():
    image = ImageRef(sha256="0" * 64, width=100, height=64)
    redrawn = ImageToImage(prompt="x", image=image, width=64, height=64, steps=10, strength=0.5)
    assert redrawn.work == 64 * 64 * 10 * 0.5
    assert Upscale(image=image, factor=2).work == 200 * 128


def test_more_than_the_limit_is_refused_until_the_first_is_an_hour_old():
    clock = Clock()
    allowance = Allowance(10.0, clock)
    allowance.spend(job())
    clock.time += 600
    allowance.spend(job())
    with pytest.raises(TooMuchWork, match="takes 4 megapixel-steps, and 2 are left of the 10 .* in 50 minutes"):
        allowance.spend(job())
    clock.time += 50 * 60 - 1
    with pytest.raises(TooMuchWork, match="in 1 minute"):
        allowance.spend(job())
    clock.time += 1
    allowance.spend(job())


def test_users_have_an_allowance_each_and_the_machines_own_jobs_none():
    allowance = Allowance(4.0, Clock())
    for owner in ("ann", "bob", "", ""):
        allowance.spend(job(owner))


def test_what_can_never_be_drawn_is_told_so():
    with pytest.raises(TooMuchWork, match="choose fewer steps, pictures or pixels"):
        Allowance(3.0, Clock()).spend(job())


def test_a_job_that_was_cancelled_before_it_began_costs_nothing():
    allowance = Allowance(5.0, Clock())
    cancelled = job()
    allowance.spend(cancelled)
    allowance.give_back(cancelled)
    allowance.spend(job())


def test_without_a_limit_nothing_is_counted():
    allowance = Allowance(None, Clock())
    for _ in range(100):
        allowance.spend(job())


def test_what_was_begun_before_a_restart_counts_and_what_never_was_does_not(tmp_path):
    begun, waiting, dropped, old = (job() for _ in range(4))
    old.created = time.time() - 2 * HOUR
    store = JobStore(tmp_path / "jobs.sqlite")
    for one in (begun, waiting, dropped, old):
        store.add(one).result()
    begun.started = time.time()
    begun.put(Finished())
    dropped.put(Stopped())
    for one in (begun, dropped):
        store.update(one)
    store.close()
    again = JobStore(tmp_path / "jobs.sqlite")
    allowance = Allowance(10.0)
    allowance.take_up(again.begun_since(time.time() - HOUR))
    again.close()
    with pytest.raises(TooMuchWork, match="takes 4 megapixel-steps, and 2 are left"):
        allowance.spend(job())
