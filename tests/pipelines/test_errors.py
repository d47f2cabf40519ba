import re

from pipelines.engine import errors
from presets.errors import UserError


def test_the_drawn_tree_is_the_real_one():
    own = [value for value in vars(errors).values() if isinstance(value, type) and value.__module__ == errors.__name__]
    classes = [value for value in own if issubclass(value, UserError) and "code" in vars(value)]
    drawn = re.findall(r"\+-- (\w+) .*? (E-[A-Z-]+)", errors.__doc__ or "")
    assert sorted(drawn) == sorted((error.__name__, error.code) for error in classes)


def test_a_worker_that_was_killed_is_told_what_the_likely_cause_is():
    assert "main memory has run out" in errors.WorkerDied(-9).message
    assert "memory" not in errors.WorkerDied(1).message
