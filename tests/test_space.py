"""The repository as a Hugging Face Space: its files, started as one is, and used from a browser's place."""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import httpx
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from presets.metadata import read_request
from tests.hub_accounts import CLIENT, hub
from tests.proxies import free_port
from tests.test_restart import answers as lives
from tests.waiting import wait_until

ROOT = Path(__file__).parent.parent
NAME = "owner-easel.hf.space"
OWN = {"presets", "pipelines", "tabs"}
EXTRAS = {"mcp", "torchao", "bitsandbytes", "spandrel_extra_arches", "spaces"}
"""Packages that are asked for where they are missed, and one that ZeroGPU Spaces have by themselves."""


def front_matter(name: str) -> str:
    found = re.search(rf'^{name}: "?([^"\n]*)', (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert found, name
    return found[1]


def copied(folder: Path) -> None:
    """The files of the repository as they are now, in `folder`."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("what belongs to the repository is known to git alone")
    for file in filter(lambda name: (ROOT / name).is_file(), listed.stdout.splitlines()):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / file, folder / file)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Of the Space: `app` is the repository, `storage` what its owner attached."""
    return tmp_path_factory.mktemp("space")


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    with hub() as address:
        yield address


@pytest.fixture(scope="module")
def space(folder: Path, provider: str) -> Iterator[httpx.Client]:
    """What a visitor's browser sees of the program, started from the repository's files in a Space's environment."""
    copied(folder / "app")
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "SYSTEM": "spaces",
        "SPACE_ID": "owner/easel",
        "SPACE_HOST": NAME,
        "GRADIO_SERVER_NAME": "0.0.0.0",
        "GRADIO_SERVER_PORT": str(port),
        "HF_HUB_OFFLINE": "1",
        "EASEL_HOME": str(folder / "storage"),
        "EASEL_THREADS": "1",
        "EASEL_SIGN_IN": "hub",
        "OAUTH_CLIENT_ID": CLIENT,
        "OAUTH_CLIENT_SECRET": "a secret",
        "OAUTH_SCOPES": "openid profile",
        "OPENID_PROVIDER_URL": provider,
    }
    process = subprocess.Popen([sys.executable, front_matter("app_file")], cwd=folder / "app", env=environment)
    seen = {"host": NAME, "origin": f"https://{NAME}", "x-forwarded-proto": "https", "x-forwarded-host": NAME}
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=100, headers=seen) as client:
            wait_until(lambda: lives(client), 120)
            yield client
    finally:
        process.terminate()
        process.wait(60)


def test_the_page_is_there_under_the_spaces_own_name(space: httpx.Client):
    page = space.get("/")
    assert "SameSite=None; Secure; Partitioned" in page.headers["set-cookie"]
    assert space.get("/config").json()["root"] == f"https://{NAME}"


def test_a_visitor_draws_and_the_picture_lies_in_the_attached_storage(space: httpx.Client, folder: Path):
    job = space.post("/api/jobs?wait=90", json={"kind": "text-to-image", "prompt": "a red house", "steps": 2}).json()
    assert job["state"] == "done"
    assert space.get(job["pictures"][0]["url"]).headers["content-type"] == "image/png"
    (saved,) = (folder / "storage" / "pictures").rglob("*.png")
    assert read_request(saved).request.model_dump(mode="json") == job["pictures"][0]["request"]


def test_visitors_change_no_models_and_have_none_fetched(space: httpx.Client):
    parts = {part["props"].get("elem_id") for part in space.get("/config").json()["components"]}
    assert "models-table" in parts
    assert not parts & {"model-load", "model-unload", "model-keep", "text-to-image-own-presets"}
    body = {"kind": "text-to-image", "prompt": "x", "checkpoint": "somebody/some-model"}
    answer = space.post("/api/jobs", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "E-MODEL-MISSING")
    assert "visitors add no models" in answer.json()["message"]


def test_a_visitor_who_signs_in_has_his_jobs_on_every_device(space: httpx.Client):
    ann, again = (signed_in(space) for _ in range(2))
    body = {"kind": "text-to-image", "prompt": "a red house", "steps": 1}
    job = space.post("/api/jobs", json=body, headers=ann).json()["id"]
    assert space.get(f"/api/jobs/{job}", headers=again).status_code == 200
    assert space.get(f"/api/jobs/{job}").status_code == 404
    forged = {"cookie": again["cookie"][:-4] + "AAAA"}
    assert space.get(f"/api/jobs/{job}", headers=forged).status_code == 404


def signed_in(space: httpx.Client) -> dict[str, str]:
    """The headers of a browser in which ann has signed in with the Hub."""
    asked = space.get("/login/huggingface")
    at_hub = httpx.get(asked.headers["location"])
    assert at_hub.headers["location"].startswith(f"https://{NAME}/login/callback?")
    back = at_hub.headers["location"].removeprefix(f"https://{NAME}")
    answer = space.get(back, headers={"cookie": asked.headers["set-cookie"].split(";")[0]})
    assert answer.status_code == 307 and "; secure" in answer.headers["set-cookie"]
    return {"cookie": answer.headers["set-cookie"].split(";")[0]}


def test_pages_of_other_sites_do_nothing_on_the_space(space: httpx.Client):
    answer = space.post("/api/jobs", json={}, headers={"origin": "https://evil.example"})
    assert answer.status_code == 403


def test_all_that_the_program_imports_is_in_the_requirements_or_comes_with_them():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    required = {named(line) for line in lines if line and not line.startswith("#")} | {"gradio"}
    known = required | {named(line) for name in required & installed() for line in metadata.requires(name) or []}
    owners = metadata.packages_distributions()
    found = {name: {canonicalize_name(owner) for owner in owners.get(name, [name])} for name in imported()}
    assert {name for name, packages in found.items() if not packages & known} == set()


def named(line: str) -> str:
    """The package that a requirement asks for; nothing where only an extra does."""
    return "" if "extra ==" in line else canonicalize_name(Requirement(line).name)


def installed() -> set[str]:
    return {canonicalize_name(package.metadata["Name"]) for package in metadata.distributions()}


def imported() -> set[str]:
    """The packages that the program's files import, but for its own, Python's and those of extras."""
    names: set[str] = set()
    for path in (ROOT / "app.py", *(path for room in OWN for path in (ROOT / room).rglob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - OWN - {"app"} - EXTRAS
