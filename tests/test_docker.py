"""The Dockerfile says what the project says. It is not built here, which takes a Docker daemon and gigabytes."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from presets import installation
from presets.settings import Settings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def steps() -> list[tuple[str, str]]:
    """Each instruction and what follows it, lines that go on made one."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [tuple(line.split(maxsplit=1)) for line in lines]


def of(steps: list[tuple[str, str]], name: str) -> list[str]:
    return [rest for instruction, rest in steps if instruction == name]


def variables(steps: list[tuple[str, str]]) -> dict[str, str]:
    return dict(pair.split("=", 1) for line in of(steps, "ENV") for pair in shlex.split(line))


def test_all_that_is_copied_exists_and_is_let_in(steps):
    sources = [source for line in of(steps, "COPY") for source in line.split()[:-1]]
    assert [source for source in sources if not (ROOT / source).exists()] == []
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert set(sources) == let_in


def test_everything_that_the_package_consists_of_is_copied(steps):
    copied = {source for line in of(steps, "COPY") for source in line.split()[:-1]}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    setuptools = project["tool"]["setuptools"]
    packages = {pattern.rstrip("*") for pattern in setuptools["packages"]["find"]["include"]}
    files = {f"{name}.py" for name in setuptools["py-modules"]}
    assert packages | files | {project["project"]["readme"], *project["project"]["license-files"]} <= copied


def test_it_installs_and_starts_the_program_as_the_readme_does(steps):
    assert "pip install -e . && python app.py" in README
    assert json.loads(of(steps, "CMD")[-1]) == ["python", "app.py"]
    assert any("pip install" in line and "--editable" in line for line in of(steps, "RUN"))


def test_its_gradio_is_the_spaces(steps):
    (reading,) = re.findall(r"\$\((sed .*? README\.md)\)", of(steps, "RUN")[0])
    found = subprocess.run(["sh", "-c", reading], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    gradio = next(requirement for requirement in installation.requirements() if requirement.name == "gradio")
    assert gradio.specifier.contains(found.removeprefix("gradio=="))


def test_the_program_runs_as_a_user_of_its_own_whose_home_is_the_volume(steps):
    names = [name for name, _ in steps]
    assert of(steps, "USER") == ["easel"] and names.index("USER") < names.index("CMD")
    assert of(steps, "VOLUME") == [variables(steps)["EASEL_HOME"]]
    assert variables(steps)["HF_HOME"].startswith(variables(steps)["EASEL_HOME"])


def test_its_variables_are_settings_and_name_the_port_that_is_opened_and_asked(steps):
    given = {name.removeprefix("EASEL_").lower(): value for name, value in variables(steps).items()}
    settings = Settings(**{name: value for name, value in given.items() if name in Settings.model_fields})
    assert {name for name in variables(steps) if name.startswith("EASEL_")} == {
        f"EASEL_{name.upper()}" for name in settings.model_fields_set
    }
    assert of(steps, "EXPOSE") == [str(settings.port)] and settings.host == "0.0.0.0"
    assert f"127.0.0.1:{settings.port}/health" in of(steps, "HEALTHCHECK")[0]


def test_its_python_is_the_spaces(steps):
    version = re.search(r'^python_version: "(.*)"', README, re.MULTILINE)
    assert version and of(steps, "FROM") == [f"python:{version[1]}-slim"]
