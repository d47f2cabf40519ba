"""The plan of the house, held: who may import what, no cycles, nothing happens at import."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from presets.requests import KINDS

ROOT = Path(__file__).parent.parent
ROOMS = ("presets", "pipelines", "tabs")
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path
    for room in ROOMS
    for path in sorted((ROOT / room).rglob("*.py"))
    if path.name != "__init__.py"
}


def imports_of(path: Path) -> set[str]:
    """Names of the project's modules that a file imports anywhere but under TYPE_CHECKING."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {
        id(node)
        for guard in ast.walk(tree)
        if isinstance(guard, ast.If) and "TYPE_CHECKING" in ast.unparse(guard.test)
        for node in ast.walk(guard)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def project_imports(name: str) -> set[str]:
    return {module for module in imports_of(MODULES[name]) if module in MODULES}


def test_there_are_no_import_cycles():
    tuple(TopologicalSorter({name: project_imports(name) for name in MODULES}).static_order())


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("presets.")])
def test_presets_import_only_presets(name):
    foreign = {module.split(".")[0] for module in imports_of(MODULES[name])}
    assert not foreign & {"pipelines", "tabs", "app", "torch", "diffusers", "transformers", "gradio"}


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("tabs.")])
def test_tabs_know_of_the_engine_only_jobs_and_errors_and_never_torch(name):
    of_pipelines = {module for module in project_imports(name) if module.startswith("pipelines")}
    assert of_pipelines <= {"pipelines.engine.jobs", "pipelines.engine.errors"}
    assert not {module.split(".")[0] for module in imports_of(MODULES[name])} & {"torch", "diffusers", "transformers"}


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("pipelines.")])
def test_pipelines_know_no_page(name):
    assert not {module.split(".")[0] for module in imports_of(MODULES[name])} & {"tabs", "app", "gradio"}


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("pipelines.engine.")])
def test_the_engine_imports_no_task(name):
    assert all(module.startswith(("pipelines.engine.", "presets.")) for module in project_imports(name))


def named_after_kinds(room: str) -> set[str]:
    """The one module of each kind of request in a room."""
    return {f"{room}.{kind.replace('-', '_')}" for kind in KINDS}


@pytest.mark.parametrize("room", ["pipelines", "tabs"])
def test_every_kind_has_its_module_in_the_room_and_none_imports_another(room):
    modules = named_after_kinds(room)
    assert modules <= set(MODULES)
    for name in modules:
        assert not project_imports(name) & modules, name


def test_init_files_are_empty():
    assert [path for room in ROOMS for path in (ROOT / room).rglob("__init__.py") if path.read_text().strip()] == []


def test_app_is_short():
    assert len((ROOT / "app.py").read_text(encoding="utf-8").splitlines()) < 120


IMPORT_CHECK = """
import os, sys, threading, importlib
environ = dict(os.environ)
opened = []
for name in {names!r}:
    importlib.import_module(name)
assert threading.active_count() == 1, threading.enumerate()
assert dict(os.environ) == environ
print(*sorted(set(sys.modules) & {{"torch", "gradio", "diffusers", "transformers"}}))
"""


def loaded_by(names: list[str]) -> list[str]:
    """Heavy libraries that are loaded after importing `names` in a fresh interpreter."""
    check = [sys.executable, "-c", IMPORT_CHECK.format(names=names)]
    done = subprocess.run(check, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_importing_presets_and_the_command_line_loads_no_heavy_library_and_starts_nothing():
    names = [name for name in MODULES if name.startswith("presets.")]
    assert loaded_by([*names, "tabs.command_line", "app"]) == []


def test_the_web_process_never_imports_torch():
    names = [name for name in MODULES if name.startswith("tabs.")]
    assert "torch" not in loaded_by([*names, "pipelines.engine.local", "pipelines.engine.worker"])


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("tabs.")])
def test_tabs_are_thin(name):
    text = MODULES[name].read_text(encoding="utf-8")
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    lengths = [node.end_lineno - node.lineno for node in ast.walk(ast.parse(text)) if isinstance(node, functions)]
    assert len(text.splitlines()) <= 150
    assert max(lengths, default=0) < 60
