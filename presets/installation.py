"""The start-up check: is what is installed as new as what the project asks for?"""

import sys
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pyright: ignore[reportMissingImports]

PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"


def requirements(pyproject: Path = PYPROJECT) -> list[Requirement]:
    """What the program depends on, on this platform: by pyproject.toml, or where it was installed without, by the
    installed package's own data."""
    if pyproject.is_file():
        with pyproject.open("rb") as file:
            lines = tomllib.load(file)["project"]["dependencies"]
    else:
        lines = metadata.requires("easel") or []
    wanted = [Requirement(line) for line in lines]
    here = {"extra": ""}
    return [requirement for requirement in wanted if not requirement.marker or requirement.marker.evaluate(here)]


def problems(wanted: list[Requirement]) -> list[str]:
    """A sentence for each package that is missing or older than its lower bound; newer ones are allowed."""
    sentences = []
    for requirement in wanted:
        lower = [bound for bound in requirement.specifier if bound.operator in {">=", "=="}]
        needed = ", ".join(str(bound) for bound in lower)
        try:
            installed = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            sentences.append(f"{requirement.name} is missing; {needed or 'any version'} is needed.")
            continue
        if not all(bound.contains(installed, prereleases=True) for bound in lower):
            sentences.append(f"{requirement.name} {installed} is too old; {needed} is needed.")
    return sentences
