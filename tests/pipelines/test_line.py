"""The order of waiting jobs: turns go round, and what is in memory goes first within bounds."""

from hypothesis import given
from hypothesis import strategies as st

from pipelines.engine.jobs import PASS_SECONDS, PASSES, Job
from pipelines.engine.line import Line, in_turn
from presets.requests import TextToImage


def job(owner: str, checkpoint: str = "a") -> Job:
    return Job(TextToImage(prompt="", checkpoint=checkpoint), lambda _: None, owner=owner)


def line_of(*jobs: Job) -> Line:
    line = Line()
    for each in jobs:
        line.append(each)
    return line


def emptied(line: Line, resident: frozenset[str] = frozenset(), now: float = 0.0) -> list[Job]:
    taken = []
    while (each := line.take(resident, now)) is not None:
        taken.append(each)
    return taken


owners = st.lists(st.sampled_from("xyz"), max_size=30)


def test_one_owners_hundred_jobs_let_another_wait_for_one():
    many, one = [job("x") for _ in range(100)], job("y")
    line = line_of(*many, one)
    assert line.position(one) == 2
    assert emptied(line)[1] is one


@given(owners)
def test_turns_go_round_and_each_owners_jobs_keep_their_order(names):
    jobs = [job(name) for name in names]
    taken = emptied(line_of(*jobs))
    assert [each for each in taken if each.owner == "x"] == [each for each in jobs if each.owner == "x"]
    for first, second in zip(taken, taken[1:], strict=False):
        if first.owner == second.owner:  # nobody else had any left
            assert {each.owner for each in taken[taken.index(second) :]} == {first.owner}


@given(owners)
def test_the_order_that_is_told_is_the_order_that_runs(names):
    line = line_of(*(job(name) for name in names))
    told = list(line)
    assert [line.position(each) for each in told] == list(range(1, len(line) + 1))
    assert emptied(line) == told


def test_a_job_whose_checkpoint_is_in_memory_goes_first():
    other, resident = job("x", "b"), job("y", "a")
    assert emptied(line_of(other, resident), frozenset("a")) == [resident, other]


@given(st.lists(st.tuples(st.sampled_from("xyz"), st.sampled_from("abc")), max_size=80), st.data())
def test_nobody_is_passed_over_more_often_than_is_stated(wanted, data):
    line, passed = Line(), {}
    waiting = [job(*each) for each in wanted]
    while waiting or len(line):
        for _ in range(data.draw(st.integers(0, 3))):
            if waiting:
                line.append(waiting.pop())
        order = list(line)
        taken = line.take(frozenset("a"), 0.0)
        for before in order[: order.index(taken)] if taken else ():
            passed[before.id] = passed.get(before.id, 0) + 1
        if not order and waiting:
            line.append(waiting.pop())
    assert max(passed.values(), default=0) <= PASSES


def test_nobody_is_passed_over_for_longer_than_is_stated():
    other = job("x", "b")
    line = line_of(other, *(job("y", "a") for _ in range(5)))
    assert line.take(frozenset("a"), 100.0) is not other
    assert line.take(frozenset("a"), 100.0 + PASS_SECONDS) is other


@given(st.integers(1, 6), st.integers(1, 40))
def test_a_newcomer_waits_for_one_job_of_each_owner_at_most(others, jobs_each):
    line = line_of(*(job(str(owner)) for owner in range(others) for _ in range(jobs_each)))
    one = job("newcomer")
    line.append(one)
    assert line.position(one) <= others + 1


def test_an_own_job_can_be_moved_up_and_nobody_else_moves():
    first, other, second = job("x"), job("y"), job("x")
    line = line_of(first, other, second)
    assert line.move_up(second) is first
    assert list(line) == [second, other, first]
    assert line.move_up(second) is None


def test_a_job_can_leave_and_one_that_was_cut_off_is_next():
    first, second = job("x"), job("y")
    line = line_of(first, second)
    assert line.remove(second) and not line.remove(second)
    line.put_first(second)
    assert list(line) == [second, first] and len(line) == 2


def test_queues_are_read_by_turns():
    assert list(in_turn(["ad", "b", "cef"])) == list("abcdef")
