"""VAEs in files of their own that do not hold together."""

import pytest
import torch

from pipelines.engine.catalog import Catalog
from pipelines.engine.errors import VaeRefused
from pipelines.engine.vae_loading import load_vae
from tests.checkpoints import save_vae, tiny_sd1
from tests.mutations import mutated


@pytest.fixture(scope="module")
def own():
    """A checkpoint's own VAE."""
    return tiny_sd1().vae


@pytest.mark.parametrize("seed", [320, 1436, 2090])
def test_a_vae_with_a_part_missing_or_in_anothers_place_is_refused(tmp_path, own, seed):
    (tmp_path / "vae").mkdir()
    path = save_vae(own, tmp_path / "vae/odd.safetensors", "first_stage_model.")
    path.write_bytes(mutated(path.read_bytes(), seed))
    with pytest.raises(VaeRefused, match="fit together|no encoder and decoder"):
        load_vae(Catalog((tmp_path,)).find_vae("odd"), own, torch.float32)
