"""What the project says of itself in several places is the same everywhere."""

import re
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from presets import installation

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent


def test_the_requirements_of_a_space_are_those_of_the_project():
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    given = [line for line in lines if line and not line.startswith("#")]
    assert given == [line for line in wanted if not line.startswith("gradio")]


def test_the_space_runs_a_gradio_that_the_project_allows():
    front = (ROOT / "README.md").read_text(encoding="utf-8").split("---")[1]
    version = next(line.split(":")[1].strip() for line in front.splitlines() if line.startswith("sdk_version"))
    gradio = next(requirement for requirement in installation.requirements() if requirement.name == "gradio")
    assert gradio.specifier.contains(version)


def test_what_is_installed_here_is_new_enough():
    assert installation.problems(installation.requirements()) == []


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("pillow>=9999", "pillow .* is too old; >=9999 is needed."),
        ("no-such-package-anywhere>=1", "no-such-package-anywhere is missing; >=1 is needed."),
    ],
)
def test_a_package_that_is_too_old_or_missing_is_named(line, sentence):
    (problem,) = installation.problems([Requirement(line)])
    assert re.fullmatch(sentence, problem)


def test_a_newer_package_than_the_upper_bound_is_no_problem():
    assert installation.problems([Requirement("pillow>=1,<2")]) == []
