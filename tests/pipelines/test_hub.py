import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from huggingface_hub import constants
from huggingface_hub.errors import DryRunError

from pipelines.engine.catalog import Catalog
from pipelines.engine.errors import ModelNotFound
from pipelines.engine.hub import cached, download, needed, reason_of
from presets.errors import UserError
from tests.safetensors_files import write_folder

ROOT = ["model_index.json", "unet/config.json", "tokenizer/merges.txt"]


@pytest.mark.parametrize(
    ("weights", "wanted"),
    [
        (["unet/diffusion_pytorch_model.safetensors", "unet/diffusion_pytorch_model.fp16.safetensors"], [0]),
        (["unet/diffusion_pytorch_model.fp16.safetensors", "unet/diffusion_pytorch_model.non_ema.safetensors"], [0]),
        (
            [
                "unet/diffusion_pytorch_model-00001-of-00002.safetensors",
                "unet/diffusion_pytorch_model-00002-of-00002.safetensors",
                "unet/diffusion_pytorch_model.safetensors.index.json",
                "unet/diffusion_pytorch_model.fp16.safetensors",
            ],
            [0, 1, 2],
        ),
        (["text_encoder/model.safetensors", "text_encoder/pytorch_model.bin"], [0]),
    ],
)
def test_one_set_of_weights_is_fetched_for_each_part(weights, wanted):
    assert needed([*ROOT, *weights], half=False) == {*ROOT, *(weights[index] for index in wanted)}


def test_weights_in_float16_are_fetched_where_they_are_enough():
    small = "unet/diffusion_pytorch_model.fp16.safetensors"
    others = ["unet/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.safetensors"]
    assert needed([*ROOT, *others, small], half=True) == {*ROOT, small, others[1]}


def test_offline_hub_model_is_refused_at_once_with_a_sentence():
    with pytest.raises(UserError, match="stay offline") as caught:
        download("nobody/nothing-of-this-name", offline=True, half=False, report=print)
    assert (caught.value.code, caught.value.field) == ("E-MODEL-MISSING", "checkpoint")


def test_name_that_the_hub_cannot_have_is_not_found():
    with pytest.raises(ModelNotFound):
        download("a/b--c", offline=False, half=False, report=print)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def write_cached(cache, name, **contents):
    repository = cache / f"models--{name.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs/main").write_text("c0ffee")
    return write_folder(repository / "snapshots/c0ffee", **contents)


def test_model_in_the_hubs_cache_is_described_by_its_files(cache, tmp_path):
    write_cached(cache, "someone/painter-xl", unet={"sample_size": 32})
    model = Catalog((), write_folder(tmp_path / "starter")).find("someone/painter-xl")
    assert (model.name, model.layout, model.family, model.native_size) == (
        "someone/painter-xl",
        "hub",
        "sd1",
        (256, 256),
    )
    assert download("someone/painter-xl", offline=True, half=False, report=print) == model


def test_model_that_left_the_hubs_cache_is_a_guess_again(cache, tmp_path):
    catalog = Catalog((), write_folder(tmp_path / "starter"))
    folder = write_cached(cache, "someone/painter")
    assert catalog.find("someone/painter").native_size == (128, 128)
    (folder / "unet/config.json").unlink()
    assert cached("someone/painter") is None
    assert (catalog.find("someone/painter").path, catalog.find("someone/painter").native_size) == (None, (512, 512))


ASKING = """
import sys
from pipelines.engine.hub import download
from presets.errors import UserError
for name in sys.argv[1:]:
    try:
        download(name, offline=False, half=False, report=lambda event: None)
    except UserError as error:
        print(error.message)
"""


class _Hub(BaseHTTPRequestHandler):
    """Answers with the status that the repository's name ends with."""

    def do_GET(self):
        self.send_response(int(self.path.split("/revision/")[0].rsplit("-", 1)[1]))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def test_refusals_of_the_hub_are_told_apart(tmp_path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    here = {"HF_ENDPOINT": address, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path), "NO_PROXY": "127.0.0.1"}
    command = [sys.executable, "-c", ASKING, "a/b-401", "a/b-403", "a/b-404", "a/b-503"]
    told = subprocess.run(command, env=os.environ | here, capture_output=True, text=True, check=True).stdout
    server.shutdown()
    server.server_close()
    reasons = ("none of that name, or it is private", "lets in only some", "no such repository", "an error (503)")
    assert [reason in line for reason, line in zip(reasons, told.splitlines(), strict=True)] == [True] * 4
    alone = subprocess.run(command[:4], env=os.environ | here, capture_output=True, text=True, check=True).stdout
    assert "there is no connection to it" in alone


@pytest.mark.parametrize(
    ("number", "reason"), [(errno.ENOSPC, "no space"), (errno.EACCES, "cannot be written"), (0, "no connection")]
)
def test_refusals_of_the_disk_are_no_lack_of_connection(number, reason):
    problem = DryRunError("Dry run cannot be performed")
    problem.__cause__ = OSError(number, "refused")
    assert reason in reason_of(problem)


COMMIT = "c0ffee" * 6 + "c0ff"
FETCHING = """
import sys
from pathlib import Path
from pipelines.engine.hub import download
told = []
model = download(sys.argv[1], offline=False, half=True, report=told.append)
print(*sorted(path.relative_to(model.path).as_posix() for path in Path(model.path).glob("*/*.safetensors")))
print(model.native_size, told[-1].fraction, download(sys.argv[1], offline=True, half=True, report=print) == model)
"""


class _Repository(BaseHTTPRequestHandler):
    """Serves the files of `folder` as the Hub serves a repository's."""

    folder: Path

    def do_GET(self):
        if self.path.startswith("/api/") and "/tree/" in self.path:
            files = [path for path in self.folder.glob("**/*") if path.is_file()]
            names = {path: path.relative_to(self.folder).as_posix() for path in files}
            tree = [{"type": "file", "path": names[path], "size": path.stat().st_size, "oid": "0"} for path in files]
            return self.answer(json.dumps(tree).encode())
        if self.path.startswith("/api/"):
            return self.answer(json.dumps({"id": "a/b", "sha": COMMIT, "siblings": []}).encode())
        return self.answer((self.folder / self.path.split(COMMIT + "/")[1]).read_bytes())

    do_HEAD = do_GET

    def answer(self, content):
        self.send_response(200)
        tag = hashlib.sha1(content).hexdigest()
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{tag}"', "Content-Length": len(content)}
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *_):
        pass


FETCHING_FILES = """
import sys
from pipelines.engine.hub import cached_file, download_files
told = []
paths = download_files("a/b", ["Anyline/MTEED.pth", "netG.pth"], told.append)
print(*(path.read_text() for path in paths), told[-1].fraction, cached_file("a/b", "netG.pth") == paths[1])
"""


def test_single_files_of_a_repository_are_downloaded_by_name_and_no_others(tmp_path):
    folder = tmp_path / "repository"
    for name, text in (("Anyline/MTEED.pth", "lines"), ("netG.pth", "anime"), ("sk_model.pth", "other")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Repository,), {"folder": folder}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    here = {"HF_ENDPOINT": address, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path), "NO_PROXY": "127.0.0.1"}
    command = [sys.executable, "-c", FETCHING_FILES]
    told = subprocess.run(command, env=os.environ | here, stdout=subprocess.PIPE, text=True, check=True).stdout
    server.shutdown()
    server.server_close()
    assert told.split() == ["lines", "anime", "1.0", "True"]
    assert not list((tmp_path / "hub").rglob("sk_model.pth"))


def test_a_repository_is_downloaded_once_and_only_what_is_loaded(tmp_path):
    folder = write_folder(tmp_path / "repository")
    whole = folder / "unet/diffusion_pytorch_model.safetensors"
    shutil.copy(whole, whole.with_name("diffusion_pytorch_model.fp16.safetensors"))
    (folder / "unet/diffusion_pytorch_model.bin").write_bytes(b"pickled")
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Repository,), {"folder": folder}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    here = {"HF_ENDPOINT": address, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path), "NO_PROXY": "127.0.0.1"}
    command = [sys.executable, "-c", FETCHING, "a/b"]
    told = subprocess.run(command, env=os.environ | here, stdout=subprocess.PIPE, text=True, check=True).stdout
    server.shutdown()
    server.server_close()
    assert told.splitlines() == [
        "text_encoder/model.safetensors unet/diffusion_pytorch_model.fp16.safetensors "
        "vae/diffusion_pytorch_model.safetensors",
        "(128, 128) 1.0 True",
    ]
