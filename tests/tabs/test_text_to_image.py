import pytest

from pipelines.engine.jobs import ModelInfo
from presets.fields import SIDE_STEP
from tabs.text_to_image import side_lengths

MODELS = (ModelInfo(name="Small", family="sd1", native_size=(128, 128), size_bytes=1),)


@pytest.mark.parametrize("ratio", [2 / 3, 3 / 2])
def test_quick_sizes_keep_the_area_and_the_grid(ratio: float):
    width, height = side_lengths(MODELS, "Small", ratio)
    assert width % SIDE_STEP == height % SIDE_STEP == 0
    assert width * height == pytest.approx(128 * 128, rel=0.1)
    assert width / height == pytest.approx(ratio, rel=0.1)
