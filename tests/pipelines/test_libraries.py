import subprocess
import sys

import pytest

from tests.checkpoints import save_folder, tiny_sd1

CODE = """
import os, sys
from pathlib import Path
from pipelines.engine.policy import decide, detect
from presets.settings import Settings

settings = Settings(device="cpu", threads=1)
policy = decide(detect(settings), settings)
from pipelines.engine.libraries import prepare_libraries
prepare_libraries(policy, settings)

import torch
from pipelines.engine.catalog import Catalog
from pipelines.engine.manager import PipelineManager
catalog = Catalog((), Path(sys.argv[1]))
with PipelineManager(catalog, policy, settings).pipeline("") as loaded:
    loaded.pipe("a cat", num_inference_steps=1, width=32, height=32)
assert sys.modules.get("xformers") is None
assert os.environ["DIFFUSERS_DISABLE_REMOTE_CODE"] == os.environ["HF_HUB_DISABLE_TELEMETRY"] == "1"
assert torch.get_num_threads() == 1
"""


@pytest.fixture
def starter(tmp_path):
    return save_folder(tiny_sd1(), tmp_path / "starter")


def test_worker_on_a_cpu_says_nothing_and_leaves_xformers_out(starter):
    result = subprocess.run([sys.executable, "-c", CODE, str(starter)], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
