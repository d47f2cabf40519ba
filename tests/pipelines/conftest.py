"""The starter model as a plain diffusers pipeline."""

import pytest

from pipelines.engine.catalog import STARTER


@pytest.fixture(scope="session")
def starter_pipe():
    import torch
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(STARTER, dtype=torch.float32, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    return pipe
