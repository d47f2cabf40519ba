import re

from pipelines.engine import errors
from presets.errors import UserError


def test_the_drawn_tree_is_the_real_one():
    classes = [value for value in vars(errors).values() if isinstance(value, type) and value.__bases__ == (UserError,)]
    drawn = re.findall(r"\+-- (\w+) .*? (E-[A-Z-]+)(?:, E-[A-Z-]+)*$", errors.__doc__ or "", re.MULTILINE)
    assert sorted(drawn) == sorted((error.__name__, error.code) for error in classes)
